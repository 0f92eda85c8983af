"""What the digest knows of prose: sentences from Markdown, what their words weigh, which ones to choose.

No flow and no file: functions of text alone, the same answer for the same text.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from attrs import frozen
from markdown_it import MarkdownIt  # comes with rich, and so with agentflow_trio[cli]
from markdown_it.token import Token

Texts: TypeAlias = tuple[str, ...]
Bag: TypeAlias = frozenset[str]  # the terms of a sentence
Merits: TypeAlias = Mapping[str, float]  # what each of some sentences is worth

SHORTEST: Final = 6  # words; a shorter sentence stands for a text only if all are short
SAME: Final = 0.6  # share of common terms from which two sentences say the same

# ---------------------------------------------------------------- from Markdown to sentences

MARKDOWN: Final = MarkdownIt("commonmark").enable("table")
FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
BREAK: Final = re.compile(r"\n: |^:::.*", re.MULTILINE)  # MyST: a definition, a fence
ROLE: Final = re.compile(r"\{[\w:-]+\}`~?([^`<]+?)\s*(?:<[^`]*>)?`")  # MyST: {doc}`guide <there>`
MARKUP: Final = re.compile(r"\*|<(?=[A-Za-z/!])|\](?=[\[(])")  # what text would be if not escaped
FINISH: Final = re.compile(r"[.!?…]+[\"'”)]*(?P<gap>\s+)(?=\S)")
UNFINISHED: Final = re.compile(  # ends with a full stop that ends no sentence
    r"\b([A-Z]|Dr|Mrs?|Ms|Prof|St|(?i:e\.g|i\.e|cf|vs|al|approx|figs?|eqs?|sec|vol))\.$"
)


def parsed(text: str, *, markdown: bool = True) -> tuple[str, Texts]:
    """Return the title and, each once, the sentences; headings, code and tables hold none."""
    text = FRONT_MATTER.sub("", text) if markdown else re.sub(r"(?m)^[ \t]+", "", text)
    title, sentences = "", list[str]()
    for opening, token in pairwise(MARKDOWN.parse(text)):
        if token.type == "inline" and opening.type == "heading_open":
            title = title or one_line(plain(token))
        elif token.type == "inline" and opening.type == "paragraph_open":
            for part in BREAK.split(plain(token)):
                sentences += split(one_line(part))
    return title, tuple(dict.fromkeys(sentences))


def plain(inline: Token) -> str:
    """The text without links, images and emphasis; inline code keeps its backticks."""
    parts = list[str]()
    for child in inline.children or ():
        if child.type == "code_inline":
            parts.append(f"`{child.content}`")
        elif child.type == "text":
            parts.append(MARKUP.sub(r"\\\g<0>", child.content))
        elif child.type in {"softbreak", "hardbreak"}:
            parts.append("\n")
    return ROLE.sub(r"`\1`", "".join(parts))


def split(line: str) -> Iterator[str]:
    """Cut after sentences; what does not end like one (``such as:``) is left out."""
    start, hidden = 0, re.sub(r"`[^`]*`", lambda code: "X" * len(code[0]), f"{line} |")
    for end in FINISH.finditer(hidden):
        goes_on = hidden[end.end()].islower()
        if not goes_on and not UNFINISHED.search(hidden, start, end.start() + 1):
            yield line[start : end.start("gap")]
            start = end.end()


def one_line(text: str) -> str:
    return " ".join(text.split())


def count(text: str) -> int:
    """How many words it has."""
    return len(text.split())


def beginning(text: str, words: int) -> str:
    """The text, or as much of it as has so many words, the ellipsis among them."""
    return text if count(text) <= words else " ".join([*text.split()[: words - 1], "…"])


# ---------------------------------------------------------------- what it speaks of

STOP_WORDS: Final = """
    about after again all also always and another any are because been before being between both but
    can cannot come could did does each either else every few for from get give given goes had has have
    her here him his how however into its itself just last least less let like made make many may might
    more most much must need neither never nor not nothing now off once one only other our out over own
    per same say see several shall she should since some still such take than that the their them then
    there these they this those through thus too two under until upon use used using very via want was
    way well were what when where whether which while who whole whom whose why will with within without
    would yes yet you your
"""
WITHOUT_MEANING: Final = frozenset(STOP_WORDS.split())
WORD: Final = re.compile(r"[^\W\d_]\w{2,}+(?!['\u2019]t\b)")  # of three letters or more, not "don't"


def terms(text: str) -> list[str]:
    """The words that carry meaning, in small letters, plurals as singulars."""
    words = (word.lower() for word in WORD.findall(text))
    return [singular(word) for word in words if word not in WITHOUT_MEANING]


def singular(word: str) -> str:
    if word.endswith("ies"):
        return word.removesuffix("ies") + "y"
    return re.sub(r"(?<=ss|sh|ch)es$|(?<=x)es$|(?<=[^siu])s$", "", word)


def bag(text: str) -> Bag:
    return frozenset(terms(text))


def overlap(a: Bag, b: Bag) -> float:
    """The share of their terms that two sentences have in common: 2 |A and B| / (|A| + |B|)."""
    return 2 * len(a & b) / max(len(a) + len(b), 1)


# ---------------------------------------------------------------- what a sentence is worth

DANGLING: Final = re.compile(  # as if something stood before it
    r"(?i)(also|and|both|but|he|here|however|it|its|neither|or|otherwise|she|so|such|that|their|then"
    r"|there|therefore|these|they|this|those|thus)\b|.*\b(above|below|following)\b|.*\bthis\W*$"
)


@frozen
class Corpus:
    """Documents, each of which is its sentences, and in how many of them a term occurs."""

    documents: Sequence[Texts]
    spread: Mapping[str, int]

    @classmethod
    def of(cls, documents: Sequence[Texts]) -> Corpus:
        found = (dict.fromkeys(terms(" ".join(each))) for each in documents)
        return cls(documents, Counter(term for each in found for term in each))

    def vector(self, text: str) -> Mapping[str, float]:
        """Weigh terms by TF-IDF, occurrences times ln(1 + documents / spread), to a length of 1."""
        size, often = len(self.documents), Counter(terms(text))
        weights = {t: n * math.log1p(size / self.spread.get(t, 1)) for t, n in often.items()}
        norm = math.hypot(*weights.values()) or 1.0
        return {term: weight / norm for term, weight in weights.items()}

    def key_terms(self, most: int) -> Texts:
        """The heaviest terms of all documents together; with several, of those that more than one has."""
        total = defaultdict[str, float](float)
        for each in self.documents:
            for term, weight in self.vector(" ".join(each)).items():
                total[term] += weight
        shared = [t for t in total if self.spread[t] > 1 or len(self.documents) == 1]
        return tuple(sorted(shared, key=lambda term: (-total[term], term))[:most])

    def merits(self, sentences: Texts, document: Texts) -> Merits:
        """Weigh sentences that may stand for *document*: from 0 to 1.2.

        Merit is what a sentence has in common with its document as a whole, the centroid (their
        cosine), and its place, the earlier the better (Radev et al., "Centroid-based summarization of
        multiple documents", Inf. Process. Manage. 40, 2004); half of it if it hangs on the one before.
        """
        centroid, found = self.vector(" ".join(document)), dict[str, float]()
        texts = [text for text in sentences if count(text) >= SHORTEST] or sentences
        for place, text in enumerate(texts):
            cosine = sum(w * centroid.get(term, 0.0) for term, w in self.vector(text).items())
            merit = cosine + 0.2 * (1 - place / len(texts))
            found[text] = merit / 2 if DANGLING.match(text) else merit
        return found


# ---------------------------------------------------------------- which ones to choose


def relevant(merits: Merits, number: int, said: Sequence[Bag]) -> Texts:
    """Choose sentences by maximal marginal relevance, none that says the same as another or as *said*.

    Source: Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering
    documents and producing summaries", SIGIR 1998; with lambda = 0.7.
    """
    bags, left, chosen = {text: bag(text) for text in merits}, [*merits], list[str]()

    def relevance(text: str) -> float:
        common = max((overlap(bags[text], bags[other]) for other in chosen), default=0.0)
        return 0.7 * merits[text] - 0.3 * common

    while left and len(chosen) < number:
        text = max(left, key=relevance)
        left.remove(text)
        if all(overlap(bags[text], b) < SAME for b in [*said, *(bags[t] for t in chosen)]):
            chosen.append(text)
    return tuple(text for text in merits if text in chosen)


def mentioning(wanted: Collection[str], texts: Iterable[str]) -> Texts:
    """For each term that any mentions, the first of those that mention it and most others."""
    bags, found = {text: bag(text) for text in texts}, list[str]()
    for term in wanted:
        having = [text for text in bags if term in bags[text]]
        if having:
            found.append(max(having, key=lambda text: len(bags[text].intersection(wanted))))
    return tuple(dict.fromkeys(found))
