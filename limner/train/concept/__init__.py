"""One-shot learning: DreamArtist, and the methods that its paper compares it with, in one trainer.

`options` says what is learned and how, `student` holds what is trained, `loss` has the equations, `lesson` runs it all.
"""
