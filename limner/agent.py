"""Limner as tools of a language model's agent (the Model Context Protocol), spoken over stdin and stdout.

The models run in this process; sessions, pictures and concepts are those of the command line. An agent sees and changes
only pictures that were made while it was served, by their ids, and files of one folder where the user named one.
"""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent, ToolAnnotations
from pydantic import Field

from limner import __version__
from limner.config import Guidance, Settings, Side, Steps
from limner.history import headline
from limner.image import open_picture, png_bytes
from limner.service import kinds
from limner.service.desk import Desk, Shop
from limner.service.ticket import Cancelled, Ticket
from limner.service.values import Job, Kind
from limner.session import Session
from limner.types import BadInput, LimnerError

HELP = """\
Limner draws what is said, checks that every word of it is in the picture, and changes pictures by instruction.
Say things plainly: what is there, its colour, where it stands («a red fox to the left of a castle in the snow»).
Every tool that makes a picture returns it with an id, by which the other tools take it."""

_LEAST = 8
"""Characters of an id that are enough."""

_REPORT_S = 0.25
"""How often progress is told."""

_Report = dict[str, Any]
_Done = tuple[_Report, list[str]]
"""What is told, and the pictures that are shown with it."""

_Seed = Annotated[int, Field(ge=0, lt=2**32, description="The same seed makes the same picture.")]
_Text = Annotated[str, Field(min_length=1, max_length=4000)]
_Which = Annotated[str, Field(min_length=1, max_length=1024, description="A picture's id, or a file of the folder.")]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")]
_Steps = Annotated[Steps, Field(le=200, description="Denoising steps.")]
_Guidance = Annotated[Guidance, Field(description="How strictly to follow the words.")]
_Length = Annotated[Side, Field(le=2048, description="Pixels; the model's own size is the best.")]


@dataclass(slots=True)
class _Course:
    """How far a call is: denoising steps so far, and what is being done, in words."""

    steps: int = 0
    message: str = ""
    _last: int = 0

    def step(self, done: int, _total: int) -> None:
        """Count a step; every call of a model begins again at 0."""
        self.steps += done - self._last if done >= self._last else done
        self._last = done


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """One call of a tool, in a thread of its own."""

    agent: Agent
    desk: Desk
    course: _Course

    def do(self, kind: Kind, params: Mapping[str, Any]) -> _Report:
        """Do what a job of this kind does; returns its result. Params that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        work = kinds.run(self.desk, Job(uuid.uuid4().hex, "local", kind, given, "running", time.time()))
        while True:
            try:
                self.course.message = next(work).message or self.course.message
            except StopIteration as end:
                return end.value

    def picture(self, which: str) -> str:
        """The name in the store of a picture, by its id or as a file. Raises BadInput for any other."""
        made = [name for name in self.agent.made if name.startswith(which)]
        if len(made) == 1 and len(which) >= _LEAST:
            return made[0]
        sha256 = self.desk.blobs.put(png_bytes(open_picture(self._file(which))))
        self.agent.made[sha256] = None
        return sha256

    def _file(self, which: str) -> Path:
        """A file of the folder, whatever links lead to. Raises BadInput for what lies elsewhere."""
        folder = self.agent.folder
        if folder is None:
            hint = "give the id of one that was made here; files are read where limner mcp has a --folder"
            raise BadInput(f"there is no picture {which[:64]!r}", hint)
        with suppress(ValueError, OSError):  # what can be no file's name
            file = Path(os.path.realpath(folder / which))
            if file.is_relative_to(folder) and file.is_file():
                return file
        raise BadInput(f"there is no picture {which[:64]!r}", f"give an id, or a file in {folder}")


@dataclass(slots=True, eq=False)
class Agent:
    """The tools, one call at a time. `made` has the pictures that may be spoken of, `folder` files that may be read."""

    shop: Shop
    folder: Path | None = None
    made: dict[str, None] = field(default_factory=dict[str, None])
    _turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def draw(
        self,
        ctx: Context,
        prompt: Annotated[_Text, Field(description="What to draw.")],
        negative_prompt: Annotated[str, Field(max_length=4000, description="What to keep out.")] = "",
        many: Annotated[int, Field(ge=1, le=10, description="How many good pictures are wanted.")] = 1,
        seed: _Seed | None = None,
        steps: _Steps | None = None,
        guidance: _Guidance | None = None,
        width: _Length | None = None,
        height: _Length | None = None,
        rounds: Annotated[int, Field(ge=1, le=20, description="How often to try with better words.")] | None = None,
    ) -> CallToolResult:
        """Draw until everything that was said is in the picture; says what is missing where that fails.

        <NAME> in the prompt stands for a learned concept.
        """
        params = {"prompt": prompt, "negative_prompt": negative_prompt or None, "many": many, "seed": seed}
        params |= {"steps": steps, "guidance": guidance, "width": width, "height": height, "rounds": rounds}
        return await self._call(ctx, lambda call: _with_pictures(call.do("draw", params)))

    async def look(
        self,
        ctx: Context,
        picture: _Which,
        find: Annotated[str, Field(max_length=4000, description="Things to find, with commas between.")] = "",
    ) -> CallToolResult:
        """Say what a picture shows, and where things are: boxes are x0, y0, x1, y1 in pixels."""

        def does(call: _Call) -> _Done:
            seen = call.do("look", {"picture": call.picture(picture), "find": find or None})
            regions = [{name: each[name] for name in ("label", "score", "box")} for each in seen["regions"]]
            return {**seen, "regions": regions}, []

        return await self._call(ctx, does)

    async def edit(
        self,
        ctx: Context,
        picture: _Which,
        instruction: Annotated[_Text, Field(description="One change, such as «make the car blue».")],
        box: Annotated[list[float] | None, Field(description="Where: x0, y0, x1, y1 in pixels.")] = None,
        seed: _Seed | None = None,
    ) -> CallToolResult:
        """Make one change in a picture and nothing else; says whether it is there."""
        if box is not None and len(box) != 4:
            return _refused("a box has four numbers: x0, y0, x1, y1")

        def does(call: _Call) -> _Done:
            params = {"picture": call.picture(picture), "instruction": instruction, "box": box, "seed": seed}
            return _with_pictures(call.do("edit", params))

        return await self._call(ctx, does)

    async def learn(
        self,
        ctx: Context,
        name: Annotated[_Name, Field(description="What it is to be called: drawn as <NAME> from then on.")],
        picture: _Which,
        like: Annotated[str, Field(max_length=200, description="What it is like, such as «robot».")] = "",
        steps: Annotated[int, Field(ge=1, le=20_000, description="Fewer are quicker, and learn less.")] | None = None,
    ) -> CallToolResult:
        """Learn a new thing from one picture. It takes minutes."""

        def does(call: _Call) -> _Done:
            params = {"name": name, "picture": call.picture(picture), "like": like or None, "steps": steps}
            report = call.do("learn", params)
            sheet = report["previews"]["picture"]
            return {**report, "previews": sheet}, [sheet]

        return await self._call(ctx, does)

    async def say(
        self,
        ctx: Context,
        text: Annotated[_Text, Field(description="A wish, a change, or the answer to a question.")],
        session: Annotated[_Name, Field(description="Which conversation; a new name begins one.")] = "agent",
    ) -> CallToolResult:
        """Say something in a conversation about one picture: it is drawn or changed, or a question comes back."""

        def does(call: _Call) -> _Done:
            call.desk.session(session, begin=True)
            call.do("say", {"session": session, "text": text})
            return _standing(call.desk.session(session))

        return await self._call(ctx, does)

    async def undo(
        self, ctx: Context, session: Annotated[_Name, Field(description="Which conversation.")] = "agent"
    ) -> CallToolResult:
        """Take back what was said last in a conversation."""

        def does(call: _Call) -> _Done:
            conversation = call.desk.session(session)
            conversation.undo()
            return _standing(conversation)

        return await self._call(ctx, does)

    async def _call(self, ctx: Context, does: Callable[[_Call], _Done]) -> CallToolResult:
        """Do it in a thread, telling progress. A failure is told in Limner's sentence, and never as a crash."""
        course, done = _Course(), _refused("it was cancelled")
        ticket = Ticket(course.step)
        async with self._turn, anyio.create_task_group() as group:
            group.start_soon(_tell, ctx, course)
            try:
                done = await run_sync(self._work, ticket, course, does, abandon_on_cancel=True)
            finally:
                ticket.cancel()  # the thread ends at its next step, where nobody waits for it any more
            group.cancel_scope.cancel()
        return done

    def _work(self, ticket: Ticket, course: _Course, does: Callable[[_Call], _Done]) -> CallToolResult:
        desk = Desk(self.shop, ticket)
        try:
            report, pictures = does(_Call(self, desk, course))
            self.made |= dict.fromkeys(pictures)
            return _answer(report, [desk.blobs.get(name) for name in pictures])
        except Cancelled:
            return _refused("it was cancelled")
        except LimnerError as error:
            return _refused(str(error))
        finally:
            desk.close()


async def _tell(ctx: Context, course: _Course) -> None:
    """Tell the client how far it is, whenever that has changed; it is sent where the client asked for it."""
    told = (0, "")
    while True:
        await anyio.sleep(_REPORT_S)
        if (now := (course.steps, course.message)) != told:
            told = now
            await ctx.report_progress(now[0], message=now[1] or None)


def _with_pictures(report: _Report) -> _Done:
    """A result with the pictures that it names."""
    return report, [each["picture"] for each in report.get("pictures", [report])]


def _standing(session: Session) -> _Done:
    """Where a conversation stands: its picture, and the question that waits for an answer."""
    now, question, path = session.now, session.open_question, session.path
    report: _Report = {"session": session.state.name, "prompt": now.prompt, "picture": now.picture}
    report |= {"done": headline(path[-1]) if path else None}
    if question is not None:
        report |= {"question": question.content["question"], "choices": question.content["choices"]}
    return report, [now.picture] if now.picture else []


def _answer(report: _Report, pictures: Sequence[bytes]) -> CallToolResult:
    content: list[ContentBlock] = [
        ImageContent(type="image", data=base64.b64encode(png).decode(), mime_type="image/png") for png in pictures
    ]
    content.append(TextContent(type="text", text=json.dumps(report, ensure_ascii=False)))
    return CallToolResult(content=content, structured_content=report)


def _refused(why: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=why)], is_error=True)


def server(settings: Settings, folder: Path | None = None) -> MCPServer:
    """The tools as a server, which loads no model before one is called. Raises BadInput for a folder that is none."""
    if folder is not None and not folder.is_dir():
        raise BadInput(f"{folder} is no folder", "name one that is there, or leave --folder out")
    agent = Agent(Shop(settings), None if folder is None else Path(os.path.realpath(folder)))
    made = MCPServer("limner", instructions=HELP, version=__version__, log_level="WARNING")
    for tool in (agent.draw, agent.edit, agent.say, agent.undo, agent.learn):
        made.add_tool(tool)
    made.add_tool(agent.look, annotations=ToolAnnotations(read_only_hint=True))
    return made
