import pytest
import torch

from limner.backends.detector import load_detector
from limner.backends.grounding import GroundingDino, assign, positions
from limner.backends.hardware import Plan
from tests import tiny_eyes


def best_queries(probabilities: list[list[float]], tokens: list[list[int]]) -> list[tuple[int, float]]:
    """The query that each box belongs to, and its score there; the others must have none."""
    scores = assign(torch.tensor(probabilities, dtype=torch.float64), tokens)
    assert all((row > 0).sum() <= 1 for row in scores)
    return [(int(row.argmax()), round(float(row.max()), 3)) for row in scores]


def test_phrases_are_found_by_their_place_in_the_prompt() -> None:
    # «car. red car. a» with a start token, a stop after each phrase, and an end token.
    offsets = [(0, 0), (0, 3), (3, 4), (5, 8), (9, 12), (12, 13), (14, 15), (15, 16), (0, 0)]
    assert positions(["car", "red car", "a"], offsets) == [[1], [3, 4], [6]]
    assert positions(["car", "red car", "a"], offsets[:5]) == [[1], [3, 4], []]


def test_one_word_in_two_queries_is_told_apart_by_its_place() -> None:
    red_car, blue_car = [1, 2], [4, 5]
    boxes = [[0, 0.6, 0.5, 0, 0.1, 0.45], [0, 0.1, 0.5, 0, 0.3, 0.45]]
    assert best_queries(boxes, [red_car, blue_car]) == [(0, 0.6), (1, 0.45)]


def test_a_car_is_the_more_exact_of_two_that_fit() -> None:
    car, red_car = [1], [3, 4]
    a_red_car, a_car = [0, 0.6, 0, 0.4, 0.55], [0, 0.6, 0, 0.1, 0.55]
    assert best_queries([a_red_car, a_car], [car, red_car]) == [(1, 0.55), (0, 0.6)]


def test_without_any_sure_token_the_surest_decides() -> None:
    assert best_queries([[0, 0.1, 0.2, 0.05]], [[1], [2, 3]]) == [(1, 0.2)]


def test_what_stands_between_the_queries_counts_for_none() -> None:
    assert best_queries([[0.9, 0.3, 0.9, 0.1]], [[1], [3]]) == [(0, 0.3)]


def test_a_query_that_was_cut_off_gets_nothing() -> None:
    assert best_queries([[0, 0.3]], [[], [1]]) == [(1, 0.3)]


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> GroundingDino:
    folder = tiny_eyes.grounding_dino(tmp_path_factory.mktemp("detectors") / "grounding_dino")
    found = load_detector(str(folder), plan=Plan("cpu", 1, "float32", "")).finder
    assert isinstance(found, GroundingDino)
    return found


def spelled(finder: GroundingDino, queries: list[str]) -> tuple[str, list[list[str]]]:
    text, tokens = finder.prompt(queries)
    words = finder.tokenizer.convert_ids_to_tokens(text.input_ids[0])
    return " ".join(words), [[words[i] for i in own] for own in tokens]


def test_the_prompt_is_lower_case_with_full_stops(finder: GroundingDino) -> None:
    whole, own = spelled(finder, ["Red Car", "car", "cab"])
    assert whole == "[CLS] red car . car . c ##a ##b . [SEP]"
    assert own == [["red", "car"], ["car"], ["c", "##a", "##b"]]


def test_a_query_cannot_end_its_own_phrase(finder: GroundingDino) -> None:
    assert spelled(finder, ["red. car?", "snow"])[1] == [["red", "car"], ["snow"]]


def test_words_the_tokenizer_does_not_know_have_a_place_too(finder: GroundingDino) -> None:
    assert spelled(finder, ["狐 fox", "snow"])[1] == [["[UNK]", "fox"], ["snow"]]
