"""The dialogue model behind the door of a language model: what it was asked, what it answers, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from limner.backends import hub
from limner.backends.dialogue import BEAMS, DialogueModel, answer, capitalised, load_dialogue
from limner.backends.hardware import Plan
from limner.backends.language import load_language_model
from limner.backends.pairs import written
from limner.protocols import LanguageModel
from limner.seen import summary
from limner.types import LanguageModelFailed, ModelUnavailable
from tests.scripted import Scripted
from tests.tiny_dialogue import CARS, LEARNED, QUESTION, blenderbot

PLAN = Plan("cpu", 1, "float32", "")
SEEN = [car.text for car in CARS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blenderbot(tmp_path_factory.mktemp("weights") / "dialogue")


@pytest.fixture(scope="module")
def model(folder: Path) -> DialogueModel:
    return load_dialogue(str(folder), plan=PLAN, fallback=Scripted("from the rules"))


def ask(model: LanguageModel, said: str, *history: tuple[str, str], **more: Any) -> dict[str, Any]:
    told = [{"speaker": speaker, "text": text} for speaker, text in history]
    request = {"task": "clarify", "seen": SEEN, "history": told, "said": said} | more
    return json.loads(model.reply("", json.dumps(request), schema={}))


def test_a_question_with_its_choices(model: DialogueModel) -> None:
    assert ask(model, "Remove the car") == {"instruction": "", "question": QUESTION, "choices": SEEN}


def test_an_answer_becomes_an_instruction(model: DialogueModel) -> None:
    history = ("user", "remove the car"), ("system", QUESTION)
    assert ask(model, "the left one", *history) == {"instruction": "remove the red car", "question": "", "choices": []}


def test_taking_back(model: DialogueModel) -> None:
    assert ask(model, "go back") == {"undo": True}


def test_what_cannot_be_meant_gives_way_to_the_next_best_that_can(folder: Path) -> None:
    """Of the hypotheses of one search: two cars answer to the first, the second is no sentence, the third is fine."""

    class Guessing(DialogueModel):
        said: tuple[str, ...] = (
            "[EDIT] remove the car",
            "hm",
            "[EDIT] remove the blue car",
            "[EDIT] remove the red car",
        )

        def hypotheses(self, text: str, number: int, max_tokens: int = 80) -> list[str]:
            return list(self.said[:number])

    real = load_dialogue(str(folder), plan=PLAN, fallback=Scripted(""))
    model = Guessing("guessing", real.model, real.tokenizer, Scripted(""))
    assert ask(model, "remove the second car")["instruction"] == "remove the blue car"
    model.said = ("[EDIT] remove the car", "[EDIT] remove the dog")
    assert ask(model, "remove the second car")["instruction"] == "remove the car"


def test_the_likeliest_of_many_hypotheses_is_what_it_says(model: DialogueModel) -> None:
    text = written(summary(CARS), [], "remove the car")
    found = model.hypotheses(text, BEAMS)
    assert len(set(found)) == BEAMS
    assert found[0] == model.say(text) == QUESTION.lower()


@pytest.mark.parametrize(("said", "reason"), [("hello", "neither asks nor"), ("sing", "several changes")])
def test_what_cannot_be_carried_out_is_a_failure(model: DialogueModel, said: str, reason: str) -> None:
    with pytest.raises(LanguageModelFailed, match=reason):
        ask(model, said)


def test_letters_that_it_never_saw_are_a_failure(model: DialogueModel) -> None:
    with pytest.raises(LanguageModelFailed, match="English letters"):
        ask(model, "entferne das Äffchen")


def test_other_tasks_are_left_to_the_fallback(model: DialogueModel) -> None:
    assert model.reply("", json.dumps({"task": "keywords", "prompt": "a fox"}), schema={}) == "from the rules"


@pytest.mark.parametrize("more", [{"said": ""}, {"seen": "cars"}, {"seen": ["car"] * 40}, {"said": "a" * 3000}])
def test_a_malformed_request_is_a_failure(model: DialogueModel, more: dict[str, Any]) -> None:
    with pytest.raises(LanguageModelFailed, match="no request to clarify"):
        ask(model, **({"said": "go back"} | more))


def test_a_long_history_is_cut_at_its_beginning(model: DialogueModel) -> None:
    history = [("user", "make it night"), ("system", "[EDIT] make it night")] * 60
    assert model.say("x " * 500) == model.say("y y " + "x " * 500)
    ask(model, "go back", *history)  # more than the model has positions for


def test_the_checkpoints_own_settings_do_not_count(folder: Path, tmp_path: Path) -> None:
    """Those on the hub want at least twenty words and forbid the user's own."""
    shutil.copytree(folder, tmp_path / "hub")
    path = tmp_path / "hub" / "generation_config.json"
    chatty = {"min_length": 20, "num_beams": 4, "no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 3}
    path.write_text(json.dumps(json.loads(path.read_text()) | chatty | {"length_penalty": 0.65}))
    loaded = load_dialogue(str(tmp_path / "hub"), plan=PLAN, fallback=Scripted())
    assert ask(loaded, "make it night")["instruction"] == "make it night"


def test_perplexity_is_near_one_of_what_it_knows_by_heart(model: DialogueModel) -> None:
    assert 1 <= model.perplexity(LEARNED) < 1.3


def test_names(folder: Path, model: DialogueModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model.name == str(folder)
    monkeypatch.setattr(hub, "WEIGHTS", folder.parent)
    embedded = load_language_model("embedded", categories={"fox": "animal"})
    assert embedded.name == "embedded"
    assert ask(embedded, "go back") == {"undo": True}
    request = json.dumps({"task": "generalise", "keywords": ["fox"]})
    assert json.loads(embedded.reply("", request, schema={})) == {"keywords": ["animal"]}


def test_another_class_is_refused(checkpoints: Path) -> None:
    with pytest.raises(ModelUnavailable, match="Blenderbot"):
        load_dialogue(str(checkpoints / "clip"), plan=PLAN, fallback=Scripted())


def test_a_folder_without_a_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(ModelUnavailable, match="tokenizer"):
        load_dialogue(str(tmp_path / "bare"), plan=PLAN, fallback=Scripted())


def test_sentences_are_capitalised() -> None:
    assert capitalised("i see no cat. which do you mean: the fish?") == "I see no cat. Which do you mean: the fish?"


def test_an_answer_in_either_case() -> None:
    assert answer("[EDIT] make it night", []) == answer("[edit] make it night", [])
    assert answer("[undo]", []) == {"undo": True}
