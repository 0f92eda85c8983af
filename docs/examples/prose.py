"""What the digest knows of prose: sentences, their worth, the choice, the criteria.

No flow and no file: functions of text alone, which give the same answer for the same text.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice, pairwise
from typing import Final, TypeAlias

from attrs import frozen
from markdown_it import MarkdownIt  # comes with rich, and so with agentflow_trio[cli]
from markdown_it.token import Token

Texts: TypeAlias = tuple[str, ...]
Bag: TypeAlias = frozenset[str]  # the terms of a sentence
Merits: TypeAlias = Mapping[str, float]  # what each of some sentences is worth
Draft: TypeAlias = Mapping[str, Texts]  # by the path of a document, what was chosen from it

SHORTEST, LONGEST = 6, 40  # words in a sentence
SAME: Final = 0.6  # share of common terms from which two sentences say the same
CANDIDATES: Final = 30  # sentences at most that may stand for a document
KEY_TERMS: Final = 20  # at most; two a document
COVERED: Final = 0.8  # share of the key terms that a draft must mention

# ---------------------------------------------------------------- from Markdown to sentences

MARKDOWN: Final = MarkdownIt("commonmark").enable("table")
FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
BREAK: Final = re.compile(r"\n: |^:::.*", re.MULTILINE)  # MyST: a definition, a fence
ROLE: Final = re.compile(
    r"\{[\w:-]+\}`~?([^`<]+?)\s*(?:<[^`]*>)?`"
)  # MyST: {doc}`guide <there>`
MARKUP: Final = re.compile(
    r"\*|<(?=[A-Za-z/!])|\](?=[\[(])"
)  # what text would be if not escaped
FINISH: Final = re.compile(r"[.!?…]+[\"'”)]*(?P<gap>\s+)(?=\S)")
UNFINISHED: Final = re.compile(  # ends with a full stop that ends no sentence
    r"\b([A-Z]|Dr|Mrs?|Ms|Prof|St|(?i:e\.g|i\.e|cf|vs|al|approx|figs?|eqs?|sec|vol))\.$"
)


def parsed(text: str, *, markdown: bool = True) -> tuple[str, Texts]:
    """Return the title and, each once, the sentences; headings, code and tables hold none."""
    text = FRONT_MATTER.sub("", text) if markdown else re.sub(r"(?m)^[ \t]+", "", text)
    title, found = "", list[str]()
    for opening, token in pairwise(MARKDOWN.parse(text)):
        if token.type == "inline" and opening.type == "heading_open":
            title = title or one_line(plain(token))
        elif token.type == "inline" and opening.type == "paragraph_open":
            for part in BREAK.split(plain(token)):
                found += split(one_line(part))
    return title, tuple(dict.fromkeys(found))


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


def shown(path: str) -> str:
    """The name of a file as text, even if it is none."""
    return one_line(os.fsencode(path).decode("utf-8", "backslashreplace"))


def count(*texts: str) -> int:
    """How many words they have."""
    return sum(len(text.split()) for text in texts)


def beginning(sentence: str) -> str:
    """The sentence, or as much of it as is not too long."""
    words = sentence.split()
    return sentence if len(words) <= LONGEST else " ".join([*words[: LONGEST - 1], "…"])


# ---------------------------------------------------------------- what it speaks of

STOP_WORDS: Final = """
    about after again all also always and another any are because been before being between both
    but can cannot come could did does each either else every few for from get give given goes
    had has have her here him his how however into its itself just last least less let like made
    make many may might more most much must need neither never nor not nothing now off once one
    only other our out over own per same say see several shall she should since some still such
    take than that the their them then there these they this those through thus too two under
    until upon use used using very via want was way well were what when where whether which
    while who whole whom whose why will with within without would yes yet you your
"""
WITHOUT_MEANING: Final = frozenset(STOP_WORDS.split())
WORD: Final = re.compile(
    r"[^\W\d_]\w{2,}+(?!['\u2019]t\b)"
)  # three letters or more; not "don't"


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
    r"(?i)(also|and|both|but|he|here|however|it|its|neither|or|otherwise|she|so|such|that|their"
    r"|then|there|therefore|these|they|this|those|thus)\b"
    r"|.*\b(above|below|following)\b|.*\bthis\W*$"
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
        """Weigh terms by TF-IDF, times in it x ln(1 + documents / spread), to a length of 1."""
        size, often = len(self.documents), Counter(terms(text))
        weights = {t: n * math.log1p(size / self.spread.get(t, 1)) for t, n in often.items()}
        norm = math.hypot(*weights.values()) or 1.0
        return {term: weight / norm for term, weight in weights.items()}

    def key_terms(self) -> Texts:
        """The heaviest of the terms that more than one document has, or the only one."""
        size = len(self.documents)
        total = defaultdict[str, float](float)
        for each in self.documents:
            for term, weight in self.vector(" ".join(each)).items():
                total[term] += weight
        shared = (term for term in total if self.spread[term] > 1 or size == 1)
        heaviest = sorted(shared, key=lambda term: (-total[term], term))
        return tuple(heaviest[: min(KEY_TERMS, 2 * size)])

    def candidates(self, document: Texts, summary: Texts) -> Sequence[Merits]:
        """Weigh what may stand for *document*: the summary, if there is one, and its own."""
        return [self.merits(source, document) for source in (summary, document) if source]

    def merits(self, source: Texts, document: Texts) -> Merits:
        """Weigh sentences of *source* that may stand for *document*; return the best in order.

        Merit is what a sentence has in common with its document as a whole, the centroid (their
        cosine), and its place, the earlier the better (Radev et al., "Centroid-based
        summarization of multiple documents", Inf. Process. Manage. 40, 2004); half of it if it
        hangs on the one before. From 0 to 1.2.
        """
        centroid, found = self.vector(" ".join(document)), dict[str, float]()
        texts = [text for text in source if count(text) >= SHORTEST] or source
        for place, text in enumerate(texts):
            cosine = sum(w * centroid.get(term, 0.0) for term, w in self.vector(text).items())
            merit = cosine + 0.2 * (1 - place / len(texts))
            found[text] = merit / 2 if DANGLING.match(text) else merit
        best = sorted(found, key=lambda text: -found[text])[:CANDIDATES]
        return {text: merit for text, merit in found.items() if text in best}


# ---------------------------------------------------------------- which ones to choose


def relevant(merits: Merits, number: int, said: Sequence[Bag]) -> Texts:
    """Choose sentences by maximal marginal relevance; none says what another does, or *said*.

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
        if is_new(bags[text], [*said, *(bags[other] for other in chosen)]):
            chosen.append(text)
    return tuple(text for text in merits if text in chosen)


def shortest(sentences: Texts, said: Sequence[Bag]) -> Texts:
    """Choose the shortest sentence that says something new, or its beginning."""
    texts = map(beginning, sorted(sentences, key=count))
    return tuple(islice((text for text in texts if is_new(bag(text), said)), 1))


def is_new(found: Bag, said: Sequence[Bag]) -> bool:
    return all(overlap(found, other) < SAME for other in said)


def mentioning(wanted: Collection[str], texts: Iterable[str]) -> Texts:
    """For each term that any mentions, the first of those that mention it and most others."""
    bags, found = {text: bag(text) for text in texts}, list[str]()
    for term in wanted:
        having = [text for text in bags if term in bags[text]]
        if having:
            found.append(max(having, key=lambda text: len(bags[text].intersection(wanted))))
    return tuple(dict.fromkeys(found))


# ---------------------------------------------------------------- what is demanded of a draft


@frozen
class Criterion:
    """Something demanded of a draft, met if there are no faults."""

    name: str
    demand: str
    measured: str
    faults: Texts


Verdict: TypeAlias = tuple[Criterion, ...]


def measured(draft: Draft, limit: int, key_terms: Texts) -> Verdict:
    """Measure a draft, which is to have at most *limit* words and to speak of *key_terms*."""
    texts = said(draft)
    return (
        length(texts, limit),
        completeness(draft),
        sentences(texts),
        repetition(texts),
        coverage(texts, key_terms),
    )


def said(draft: Draft) -> Texts:
    return tuple(text for chosen in draft.values() for text in chosen)


def length(texts: Texts, limit: int) -> Criterion:
    words = count(*texts)
    faults = (f"{words - limit:,} words too many",) if words > limit else ()
    return Criterion("length", f"at most {limit:,} words", f"{words:,} words", faults)


def completeness(draft: Draft) -> Criterion:
    silent = tuple(path for path, chosen in draft.items() if not chosen)
    heard = f"{len(draft) - len(silent)} of {len(draft)}"
    return Criterion("completeness", "every document", heard, silent)


def sentences(texts: Texts) -> Criterion:
    most = f"{max(map(count, texts), default=0)} in the longest"
    long = tuple(text for text in texts if count(text) > LONGEST)
    return Criterion("sentences", f"at most {LONGEST} words each", most, long)


def repetition(texts: Texts) -> Criterion:
    pairs = combinations([(text, bag(text)) for text in texts], 2)
    common = [(overlap(one, other), later) for (_, one), (later, other) in pairs]
    most = f"{max((share for share, _ in common), default=0.0):.0%}"
    twice = tuple(later for share, later in common if share >= SAME)
    return Criterion("repetition", f"under {SAME:.0%} of terms in common", most, twice)


def coverage(texts: Texts, key_terms: Texts) -> Criterion:
    mentioned = bag(" ".join(texts))
    missed = tuple(term for term in key_terms if term not in mentioned)
    heard = len(key_terms) - len(missed)
    faults = missed if heard < COVERED * len(key_terms) else ()
    measure = f"{heard} of {len(key_terms)}"
    return Criterion("coverage", f"{COVERED:.0%} of key terms", measure, faults)
