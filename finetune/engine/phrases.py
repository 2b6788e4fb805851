"""Phrases that distinguish groups of texts: up to three words, ranked, written as people mostly do."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from finetune.engine.lexical import MAX_TEXT_CHARS, word_set
from finetune.engine.vectors import unit

MAX_WORDS = 3
MIN_TEXTS = 2  # that hold a phrase
N_CANDIDATES = 12  # per group, ranked by meaning as well
SWALLOW = 0.6  # a longer phrase takes the place of one it holds if it is this share as frequent

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]|\n", re.UNICODE)


# Words no name begins or ends with: function words and the commonest verbs, English first.
_FUNCTION_WORDS = word_set(
    "a about above across after again against ago all almost along already also although always am among an and",
    "another any anybody anyone anything anyway are aren't around as ask asked at away back be because become",
    "been before behind being below beside besides between both but by came can can't cannot come comes could",
    "couldn't d did didn't do does doesn't doing don't done down during each either else end enough etc even",
    "ever every everyone everything except far few find first for found from further gave get gets getting give",
    "given gives go goes going gone got had hadn't has hasn't have haven't having he her here hers him his how",
    "however i i'd i'll i'm i've if in instead into is isn't it it's its itself just keep kept know last least",
    "less let like ll lot lots m made make makes making many may maybe me might mine more most much must my",
    "myself near need needed needs never next no nobody none nor not nothing now of off often oh ok on once one",
    "ones only onto or other others our ours out over own perhaps please put quite rather re really s said same",
    "saw say says see seem seems seen several shall she should shouldn't since so some someone something",
    "sometimes somewhat still stuff such sure t take taken takes tell than that that's the their theirs them",
    "then there there's these they they're thing things think this those though thought through thru till to",
    "together too took toward towards tried try trying two under until up upon us use used using ve very via",
    "want wanted wants was wasn't way we we're went were weren't what what's when where whether which while who",
    "whole whom whose why will with within without won't would wouldn't yes yet you you're your yours yourself",
    "able bit etc hi hello thanks thank",
    "aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist da damit dann das dass",
    "dem den denn der des deshalb die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem",
    "einen einer eines er es etwas euch euer für gab ganz gar geht gibt ging haben hat hatte hatten hier hin",
    "ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im immer in ins ist ja jede jedem jeden jeder jedes jetzt",
    "kann kein keine keinem keinen keiner können könnte man mehr mein meine meinem meinen meiner mich mir mit",
    "muss müssen nach nicht nichts noch nun nur ob oder ohne schon sehr sein seine seinem seinen seiner seit",
    "sich sie sind so soll sollte sondern über um und uns unser unsere unter viel viele vom von vor war waren",
    "warum was weil wenn wer werden wie wieder wir wird wo wurde wurden zu zum zur zwischen",
    "al como con de del el ella ellos en era es esta este esto fue ha hay la las le lo los más me mi muy ni o",
    "para pero por porque que se si sin sobre son su sus también tan te tiene un una unos y ya yo",
    "au aux avec c'est ce ces cet cette d'un d'une dans des donc du elle elles est et été il ils j'ai je leur",
    "lui ma mais mes moi mon n'est ne nos notre nous on ont ou par pas plus pour qu'il qui sa sans ses son sont",
    "sur ta tout tous très trop une vos votre vous",
    "alla anche che chi ci come da dal dalla degli dei della delle di e gli ho il loro ma nel nella non per più",
    "sono sua suo tra un' una uno",
    "aan bij dat deze die dit door een en er had heb hebben heeft het hij ik is kan maar meer met mijn naar",
    "niet nog of om ook op over te tot uit van veel voor waren wat werd wij ze zeer zijn zo",
)  # fmt: skip


@dataclass
class Phrases:
    """The phrases of many texts.

    Attributes
    ----------
    texts_of : dict of str to list of int
        Each phrase, in small letters, with the texts that hold it, ascending.
    surface : dict of str to str
        How it is mostly written.
    n_texts : int
    """

    texts_of: dict[str, list[int]]
    surface: dict[str, str]
    n_texts: int

    @classmethod
    def read(cls, texts: Sequence[str]) -> Phrases:
        texts_of: dict[str, list[int]] = defaultdict(list)
        written: dict[str, Counter[str]] = defaultdict(Counter)
        for number, text in enumerate(texts):
            for surface in dict.fromkeys(_phrases(text[:MAX_TEXT_CHARS])):
                key = surface.casefold()
                if not texts_of[key] or texts_of[key][-1] != number:
                    texts_of[key].append(number)
                written[key][surface] += 1
        kept = {key: found for key, found in texts_of.items() if len(found) >= MIN_TEXTS}
        return cls(kept, {key: written[key].most_common(1)[0][0] for key in kept}, len(texts))

    def rank(
        self,
        groups: np.ndarray,
        centres: np.ndarray,
        encode: Callable[[Sequence[str]], np.ndarray],
        *,
        longest: int = MAX_WORDS,
    ) -> list[list[str]]:
        """Return the phrases of each group, best first, as they are mostly written.

        A phrase is good if it is in many texts of its group and in few others (its part of the divergence of the
        two frequencies), and near the group in meaning.

        Parameters
        ----------
        groups : int array of shape (n_texts,)
            From 0, without gaps.
        centres : ndarray of shape (n_groups, n_features)
            Means of the groups' vectors, of length 1.
        encode : callable
            Phrases to vectors.
        """
        n_groups = int(groups.max()) + 1
        sizes = np.bincount(groups, minlength=n_groups)
        best: list[list[tuple[float, str]]] = [[] for _ in range(n_groups)]
        for key, found in self.texts_of.items():
            if key.count(" ") >= longest:
                continue
            counts = np.bincount(groups[found], minlength=n_groups)
            share_all = len(found) / self.n_texts
            for group in np.flatnonzero(counts >= max(MIN_TEXTS, 0.03 * counts.max())).tolist():
                share = counts[group] / sizes[group]
                if share > share_all:
                    best[group].append((share * float(np.log(share / share_all)), key))
        candidates = [self._candidates(own, groups, group) for group, own in enumerate(best)]
        distinct = list(dict.fromkeys(key for own in candidates for _value, key in own))
        if not distinct:
            return [[] for _ in range(n_groups)]
        V = unit(np.asarray(encode([self.surface[key] for key in distinct]), dtype=np.float32))
        place = {key: i for i, key in enumerate(distinct)}
        ranked = []
        for group, own in enumerate(candidates):
            near = {key: max(0.0, float(V[place[key]] @ centres[group])) for _value, key in own}
            own.sort(key=lambda pair: (-(pair[0] ** 0.5) * near[pair[1]], pair[1]))
            ranked.append([self.surface[key] for _value, key in own])
        return ranked

    def _candidates(self, own: list[tuple[float, str]], groups: np.ndarray, group: int) -> list[tuple[float, str]]:
        own = sorted(own, key=lambda pair: (-pair[0], pair[1]))[: 3 * N_CANDIDATES]
        count = {key: int((groups[self.texts_of[key]] == group).sum()) for _value, key in own}
        kept = []
        for value, key in own:
            longer = [other for other in count if key != other and f" {key} " in f" {other} "]
            if any(count[other] >= SWALLOW * count[key] for other in longer):
                continue
            kept.append((value, key))
        return kept[:N_CANDIDATES]


def _phrases(text: str) -> list[str]:
    run: list[str] = []
    found: list[str] = []
    for token in [*_WORD.findall(text.replace("’", "'")), "."]:
        if token[0].isalnum():
            run.append(token)
            continue
        for start, first in enumerate(run):
            if not _may_border(first):
                continue
            for stop in range(start + 1, min(start + MAX_WORDS, len(run)) + 1):
                if _may_border(run[stop - 1]):
                    found.append(" ".join(run[start:stop]))
        run = []
    return found


def _may_border(word: str) -> bool:
    return len(word) > 1 and not word.isnumeric() and word.casefold() not in _FUNCTION_WORDS


def phrase_label(phrase: str) -> str:
    """Return a phrase as the label of a topic: with a capital letter in front."""
    return phrase[:1].upper() + phrase[1:]
