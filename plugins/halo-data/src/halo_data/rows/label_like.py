"""Decides whether a column's name looks like a label, a score or a preference."""

from __future__ import annotations

import re

WORDS = (
    *("accept", "acceptable", "accepted", "approval", "approve", "approved", "bad", "best"),
    *("better", "chosen", "correct", "correctness", "csat", "desirable", "dislike", "disliked"),
    *("dispreferred", "downvote", "downvoted", "failed", "feedback", "flagged", "good", "grade"),
    *("helpful", "helpfulness", "incorrect", "judgement", "judgment", "karma", "kto", "label"),
    *("labeled", "labelled", "like", "liked", "loser", "nps", "passed", "preference", "preferred"),
    *("quality", "rank", "ranked", "ranking", "rated", "rating", "reaction", "reject", "rejected"),
    *("reward", "satisfaction", "satisfied", "score", "scored", "solved", "star", "success"),
    *("successful", "thumb", "undesirable", "unsafe", "upvote", "upvoted", "utility", "verdict"),
    *("vote", "voted", "win", "winner", "won", "worse", "worst", "wrong"),
)
"""Words to look for in a name, also with an s at the end."""
GLUED = (
    "downvote",
    "feedback",
    "label",
    "preference",
    "rating",
    "reward",
    "score",
    "thumb",
    "vote",
)
"""Words to look for also at the end of a word, and at its beginning before up or down."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def words_of(name: str) -> list[str]:
    """Returns the words of a column's name in lower case.

    >>> words_of("isGood_2"), words_of("KTOTag"), words_of("human-ratings")
    (['is', 'good'], ['kto', 'tag'], ['human', 'ratings'])
    """
    return [word.lower() for word in _WORD.findall(name)]


def looks_like_label(name: str) -> bool:
    """Returns whether a column's name looks like a label, a score or a preference.

    >>> [looks_like_label(name) for name in ("thumbsUp", "user_ratings", "underscore", "topic")]
    [True, True, False, False]
    """
    return any(map(_tells, words_of(name)))


def _tells(word: str) -> bool:
    one = word.removesuffix("s")
    if word in WORDS or one in WORDS:
        return True
    if word in _OTHERS:
        return False
    for end in ("up", "down"):
        one = one.removesuffix(end).removesuffix("s")
    return one.endswith(GLUED)


_OTHERS = ("underscore", "underscored", "devote", "operating", "generating", "narrating")
"""Words that only happen to end like a label."""
