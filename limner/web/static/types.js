/**
 * The shapes that the server speaks, for editors and type checkers; nothing here runs.
 *
 * @typedef {[kind: "same" | "out" | "in", words: string][]} Diff
 * @typedef {Record<string, {value: number, passed: boolean}>} Checks
 *
 * @typedef {object} Turn
 * @property {string} id
 * @property {number} number
 * @property {string | null} parent
 * @property {string} kind
 * @property {string} headline
 * @property {string} said
 * @property {string | null} [picture]
 * @property {string | null} [prompt]
 * @property {Record<string, number> | null} [scores]
 * @property {Record<string, number> | null} [threshold]
 * @property {boolean | null} [passed]
 * @property {Checks | null} [checks]
 * @property {string[]} [warnings]
 * @property {string | null} [question]
 * @property {string[] | null} [choices]
 * @property {string | null} [reply]
 * @property {string | null} [writer]
 * @property {Diff | null} [diff]
 * @property {number | null} [drawn]
 * @property {string | null} [llm]
 * @property {string | null} [instruction]
 * @property {string | null} [drawn_with] the prompt that the picture was really drawn with, weights and all
 * @property {boolean} on_path
 * @property {number} created
 * @property {number} seconds
 *
 * @typedef {object} Session
 * @property {string} name
 * @property {string | null} tip
 * @property {string} mode
 * @property {string} ask
 * @property {Record<string, string>} branches
 * @property {{turn: string, text: string, choices: string[]} | null} question
 * @property {boolean} can_undo
 * @property {boolean} can_redo
 * @property {Shown | null} now
 * @property {Turn[]} turns
 * @property {string | null} job
 *
 * @typedef {object} Shown
 * @property {string | null} prompt
 * @property {string | null} picture
 * @property {boolean} [passed]
 * @property {Record<string, number>} [scores]
 * @property {Record<string, number>} [threshold]
 * @property {Checks} [checks]
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {string} kind
 * @property {"queued" | "running" | "done" | "failed" | "cancelled"} state
 * @property {number} [position]
 * @property {number} created
 * @property {Record<string, any>} params
 * @property {Record<string, any> | null} result
 * @property {{message: string, hint: string} | null} error
 *
 * @typedef {object} JobEvent
 * @property {string} job
 * @property {number} seq
 * @property {string} kind
 * @property {string} message
 * @property {number} done
 * @property {number} total
 * @property {Record<string, any>} data
 *
 * @typedef {object} Region
 * @property {string} label
 * @property {number} score
 * @property {[number, number, number, number]} box
 * @property {{size: [number, number], counts: number[]} | null} mask
 *
 * @typedef {{caption: string, regions: Region[]}} Look
 *
 * @typedef {{step: number, prompts: string[], pictures: string[]}} Glimpse what a lesson draws on the way
 *
 * @typedef {object} Progress what is known of a running job
 * @property {string} id
 * @property {string} said
 * @property {number | null} position
 * @property {number} base what `done` counted before the batch that is drawn now
 * @property {number} done
 * @property {number} total
 * @property {number | null} eta
 * @property {string} phase
 * @property {string | null} preview
 * @property {{kind: string, text: string, diff?: Diff}[]} notes
 * @property {[number, number][]} curve
 * @property {Glimpse[]} looks
 * @property {Record<string, number> | null} rejected
 * @property {number} accepted
 * @property {boolean} stopping
 */

export {};
