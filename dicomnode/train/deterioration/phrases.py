"""Statements to learn reading from: what referrers may write of a symptom, and how they may type it.

How statements are strung together, marked, typed and misspelled varies far more than at any one site.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from dicomnode.train.deterioration.wordings import STATES, Words, sources
from dicomnode.zoo.deterioration.reader import SYMPTOMS, Said

States = Mapping[str, Said]
"""What a statement says of the symptoms that it mentions."""
Line = tuple[str, States]
Clause = tuple[str, Said]

_SHARES = (0.38, 0.22, 0.4)
_BEFORE = {
    Said.PRESENT: ("{}", "+ {}", "(+) {}", "+ve {}", "pos {}", "pos for {}", "yes {}", "new {}", "+{}", "{} [x]"),
    Said.UNCERTAIN: ("?{}", "? {}", "({}?)", "poss. {}", "prob {}", "? of {}", "+/- {}", "(?) {}", "?? {}", "{}?"),
    Said.DENIED: ("- {}", "(-) {}", "-ve {}", "neg {}", "neg for {}", "(-) for {}", "no {}", "0 {}", "ø {}", "[ ] {}"),
}
_AFTER = {
    Said.PRESENT: ("{}: yes", "{} (+)", "{} +", "{} y", "{}: present", "{} pos", "{} = yes", "{}: +ve"),
    Said.UNCERTAIN: ("{}: ?", "{} (?)", "{}: unclear", "{} uncertain", "{} = ?", "{}: not known", "{}: n/k"),
    Said.DENIED: (
        "{}: no",
        "{} (-)",
        "{}: neg",
        "{} -ve",
        "{} absent",
        "{}: none",
        "{} nil",
        "{} = no",
        "{} n",
        "{}: -",
    ),
}
_JOINTS = {
    Said.PRESENT: (", ", " and ", " & ", " + ", "/", " / ", " plus ", " with "),
    Said.UNCERTAIN: (" or ", "/", ", ", " / ", " and/or "),
    Said.DENIED: (", ", " or ", " / ", "/", " nor ", " & ", " and ", " + "),
}
_BETWEEN = (", ", ", ", ", ", ",", " ", " and ", " with ", " / ", " & ", " + ", " but ")
_TURNS = (", ", ", ", ",", " but ", ", but ", ": ", " though ")
"""What stands between statements of one state or of a rising one; a negation, or a doubt, reaches over some of these
into what follows, so that other joints stand where the state turns."""
_HEADINGS = (
    *("pc", "hpc", "hx", "history", "o/e", "on exam", "sx", "symptoms", "s/e", "review", "details", "clinical", "info"),
    *("reason", "indication", "assessment", "neuro", "now", "today", "negatives", "positives", "background", "note"),
)
_ARTICLES = re.compile(r"\b(?:the|an?|is|was|has|had|been|were|are) (?=[a-z])")


class Writer:
    """Writes statements of one random stream."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.sources = sources()

    def line(self) -> Line:
        """A statement, or several that are not told apart, as somebody types it."""
        rng = self.rng
        names = rng.sample(list(SYMPTOMS), rng.choices((0, 1, 2, 3, 4), (0.25, 0.4, 0.2, 0.1, 0.05))[0])
        clauses: list[Clause] = []
        said: dict[str, Said] = {}
        while names:
            state, take = rng.choices(STATES, _SHARES)[0], rng.choice((1, 1, 2, 3))
            of_clause, names = names[:take], names[take:]
            clauses += [(clause, state) for clause in self._clauses(of_clause, state)]
            said |= dict.fromkeys(of_clause, state)
        if rng.random() < 0.7:
            clauses.sort(key=lambda clause: STATES.index(clause[1]))
        if not clauses or rng.random() < 0.2:
            clauses.insert(rng.choice((0, len(clauses))), (self._remark(), Said.NOTHING))
        return self._typed(self._strung(clauses)), said

    def lines(self, count: int) -> Iterator[Line]:
        """As many of them."""
        return (self.line() for _ in range(count))

    def _clauses(self, names: Sequence[str], state: Said) -> list[str]:
        words = self.rng.choice(self.sources.words)
        if len(names) > 1 or self.rng.random() < 0.5:
            return [self._framed(names, state, words)]
        return [self._filled(self.rng.choice(words.alone[name, state])) for name in names]

    def _framed(self, names: Sequence[str], state: Said, words: Words) -> str:
        rng = self.rng
        items = [rng.choice(rng.choice(self.sources.words).things[name]) for name in names]
        if rng.random() < 0.35:
            items += rng.sample(self.sources.others, rng.choice((1, 1, 2, 3)))
            rng.shuffle(items)
        nature = words.natures[names[0]]
        frames: Sequence[str] = rng.choices(
            (words.frames[nature, state], _BEFORE[state], _AFTER[state]), (0.6, 0.25, 0.15)
        )[0]
        joint = rng.choice(_JOINTS[state])
        return self._filled(rng.choice(frames).replace("{}", joint.join(items)))

    def _remark(self) -> str:
        """Words that tell of none of the symptoms: remarks, and other symptoms in any state."""
        rng, state = self.rng, self.rng.choice(STATES)
        if rng.random() < 0.45:
            return self._filled(rng.choice(self.sources.remarks))
        words = rng.choice(self.sources.words)
        other = [name for name in words.natures if name not in SYMPTOMS]
        if rng.random() < 0.4:
            return self._filled(rng.choice(words.alone[rng.choice(other), state]))
        items = rng.sample(self.sources.others, rng.choice((1, 2, 3)))
        return self._filled(rng.choice(words.frames["complaint", state]).replace("{}", ", ".join(items)))

    def _filled(self, wording: str) -> str:
        def drawn(place: re.Match[str]) -> str:
            return str(self.rng.choice(self.sources.slots.get(place[1], ("67",))))

        return re.sub(r"\{(\w+)\}", drawn, wording)

    def _strung(self, clauses: Sequence[Clause]) -> str:
        rng = self.rng
        text = clauses[0][0]
        for (_, before), (clause, state) in pairwise(clauses):
            runs_on = before is Said.PRESENT or before is state
            text += rng.choice(_BETWEEN if runs_on else _TURNS) + clause
        heading = rng.choice(_HEADINGS) if rng.random() < 0.25 else ""
        return f"{heading}{rng.choice((': ', ':', ' - ', ' '))}{text}" if heading else text

    def _typed(self, text: str) -> str:
        rng = self.rng
        if rng.random() < 0.4:
            text = _ARTICLES.sub("", text)
        if rng.random() < 0.5:
            rate = rng.choice((0.02, 0.06, 0.15))
            text = re.sub(r"[A-Za-z]{5,}", lambda word: self._slip(word[0]) if rng.random() < rate else word[0], text)
        return text

    def _slip(self, word: str) -> str:
        """A letter swapped with the next, left out or typed twice; the first stays."""
        at, kind = self.rng.randrange(1, len(word) - 1), self.rng.randrange(3)
        if kind == 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return word[:at] + word[at + 1 :] if kind == 1 else word[: at + 1] + word[at:]
