import pytest

from limner.backends.words import unknown_words

KNOWN = frozenset(["red", "fox", "foxes", "castle", "snow", "left", "polar"])


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("a red fox to the left of a castle in the snow", []),
        ("a Zyzzyva beside (two:1.2) FOXES, zyzzyva", ["zyzzyva", "beside", "two"]),
        ("a red-fox and an ice-fox", ["ice-fox"]),
        ("((grumpy)) [snow:0.5] (fox:1.3)", ["grumpy"]),
        ("3 foxes!", []),
        ("", []),
    ],
)
def test_content_words_outside_the_vocabulary(prompt: str, unknown: list[str]) -> None:
    assert unknown_words(prompt, KNOWN) == unknown
