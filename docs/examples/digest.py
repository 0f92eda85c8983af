"""Condense a folder of Markdown and text files into one page that has passed a review.

    agentflow run docs/examples/digest.py:digest
    agentflow run docs/examples/digest.py:digest --set folder=notes --set out=notes.md --set words=300
    agentflow run docs/examples/digest.py:digest --set model=http://localhost:8080/v1

It reads the files, drafts with sentences quoted from each, reviews the draft against five criteria,
revises until all are met, and writes the page. With ``model``, an OpenAI-compatible endpoint condenses
each document first (``pip install httpx``; the key, if it wants one, in OPENAI_API_KEY); once it fails
to answer, the rest is quoted too, and the page says why.

A draft that never passes is not published: the flow leaves by ``abandoned`` with the verdict in its
state, and an earlier digest stays as it was, so that whoever finds one may rely on it. The same files
give the same bytes: no clock, no dice, no absolute path.

The flow comes first; what it knows of Markdown and of the worth of a sentence stands below it.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

from attrs import define, evolve, field, frozen
from markdown_it import MarkdownIt  # comes with rich, and so with agentflow_trio[cli]
from markdown_it.token import Token

from agentflow_trio import (
    DeadlineExceededError,
    MaxVisitsError,
    Next,
    Step,
    Wiring,
    current_step,
    flow,
    step,
)

ENOUGH: Final = 25  # words; a document with fewer is as short as its digest
SHORTEST, LONGEST = 6, 40  # words in a sentence
SAME: Final = 0.6  # share of common terms from which two sentences say the same
KEY_TERMS, COVERED = 20, 0.8  # how many there are, and the share that a draft must mention


@frozen
class Document:
    """A file that was read. summary: sentences of the model's, if it was asked and answered."""

    path: str
    link: str
    title: str
    sentences: tuple[str, ...]
    summary: tuple[str, ...] = ()

    @property
    def words(self) -> int:
        return sum(map(count, self.sentences))


@frozen
class Criterion:
    """Something demanded of a draft, met if there are no faults."""

    name: str
    demand: str
    measured: str
    faults: tuple[str, ...]


# The sentences chosen from each document; what was read, and why the rest was left out;
# a draft with the number of words it may have and the terms that it should mention.
Draft: TypeAlias = Mapping[str, tuple[str, ...]]
Reading: TypeAlias = tuple[tuple[Document, ...], Mapping[str, str]]
Submission: TypeAlias = tuple[Draft, int, tuple[str, ...]]


@define
class Digest:
    """The state. Give the first five with ``--set``; the last says where the result is.

    A document with *per_sentence* words is worth one sentence; *struck* ones are never used again,
    *preferred* ones first. These three are what a revision changes, and drafts are made from.
    """

    folder: str = field(factory=lambda: os.path.relpath(Path(__file__).parents[1]))
    out: str = "digest.md"
    words: int = 1000
    model: str = ""
    model_name: str = "default"
    documents: tuple[Document, ...] = field(default=(), repr=False)
    key_terms: tuple[str, ...] = field(default=(), repr=False)
    per_sentence: float = field(default=60.0, repr=False)
    struck: tuple[str, ...] = field(default=(), repr=False)
    preferred: tuple[str, ...] = field(default=(), repr=False)
    draft: Draft = field(factory=dict[str, tuple[str, ...]], repr=False)
    criteria: tuple[Criterion, ...] = field(default=(), repr=False)
    left_out: Mapping[str, str] = field(factory=dict[str, str])
    trouble: str = ""
    revisions: tuple[str, ...] = ()
    published: str = ""


# ---------------------------------------------------------------- read


class NothingToReadError(Exception):
    """The folder holds no text to condense."""


class Read:
    """Read the folder, in a thread, and see whether there is a model to ask."""

    async def prep(self, shared: Digest) -> tuple[Path, Path]:
        return Path(shared.folder), Path(shared.out)

    async def exec(self, paths: tuple[Path, Path]) -> Reading:
        documents, left_out = await current_step().to_thread(read_folder, *paths)
        if not documents:
            reasons = "".join(f"\n{path}: {reason}" for path, reason in left_out.items())
            raise NothingToReadError(f"no Markdown or text to condense in {paths[0]}{reasons}")
        return documents, left_out

    async def post(
        self, shared: Digest, _: object, reading: Reading, *, by_model: Next, by_quoting: Next
    ) -> Next:
        shared.documents, shared.left_out = reading
        shared.key_terms = Corpus.of(shared.documents).key_terms(shared.documents)
        return by_model if shared.model else by_quoting


def read_folder(root: Path, out: Path) -> Reading:
    """Read every file that is text; what is left out is named with the reason."""
    documents = dict[tuple[str, ...], Document]()
    paths, left_out = list[Path](), dict[str, str]()

    def lost(error: OSError) -> None:
        left_out[shown(os.path.relpath(error.filename, root))] = str(error.strerror)

    for folder, below, names in os.walk(root, onerror=lost):
        below[:] = sorted(name for name in below if not name.startswith((".", "_")))
        found = (Path(folder, name) for name in sorted(names))
        paths += (path for path in found if path.suffix.lower() in {".md", ".markdown", ".txt"})
    for number, path in enumerate(path for path in paths if path.resolve() != out.resolve()):
        name = shown(path.relative_to(root).as_posix())
        current_step().report(number / len(paths), name)
        document = read_file(path, name, out.parent)
        if isinstance(document, str):
            left_out[name] = document
        elif (first := documents.setdefault(document.sentences, document)) is not document:
            left_out[name] = f"says the same as {first.path}"
    return tuple(documents.values()), left_out


def read_file(path: Path, name: str, linked_from: Path) -> Document | str:
    """Return the document in a file, or the reason why there is none."""
    try:
        text = path.read_text("utf-8-sig") if path.is_file() else None
    except OSError as error:
        return str(error.strerror)
    except UnicodeDecodeError:
        return "not UTF-8"
    title, sentences = parsed(text or "", markdown=path.suffix.lower() != ".txt")
    link = quote(os.fsencode(Path(os.path.relpath(path, linked_from)).as_posix()))
    document = Document(name, link, title or shown(path.stem), sentences)
    if document.words >= ENOUGH:
        return document
    return "no file" if text is None else f"{document.words} words in sentences"


def shown(path: str) -> str:
    return " ".join(os.fsencode(path).decode("utf-8", "backslashreplace").split())


# ---------------------------------------------------------------- ask a model, or go without


class ModelError(Exception):
    """The model was asked and gave no answer that can be used."""


@frozen
class Question:
    url: str
    model: str
    document: Document


class Ask:
    """Have the model condense one document: a visit for each, so that a failure loses no answer."""

    async def prep(self, shared: Digest) -> Question:
        waiting = [each for each in shared.documents if not each.summary]
        current_step().report(1 - len(waiting) / len(shared.documents), waiting[0].path)
        return Question(shared.model, shared.model_name, waiting[0])

    async def exec(self, question: Question) -> tuple[str, ...]:
        try:
            import httpx  # noqa: PLC0415 - only who asks a model needs it
        except ImportError as missing:
            raise RuntimeError("to ask a model, run  pip install httpx") from missing
        text = f"{question.document.title}\n\n{' '.join(question.document.sentences)}"
        messages = [{"role": "system", "content": TASK}, {"role": "user", "content": text}]
        body = {"model": question.model, "temperature": 0, "messages": messages}
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        unlimited = httpx.Timeout(None)  # the step's timeout is for everything together
        client = httpx.AsyncClient(base_url=question.url, timeout=unlimited)
        await current_step().enter(client)
        try:
            response = await client.post("chat/completions", json=body, headers=headers)
            answer: object = response.raise_for_status().json()
        except httpx.HTTPStatusError as error:
            raise ModelError(f"the model answered {error.response.status_code}") from None
        except (httpx.HTTPError, ValueError) as error:  # named only: its text may quote the key
            raise ModelError(f"the model gave no answer ({type(error).__name__})") from None
        return condensed(answer)

    async def post(
        self,
        shared: Digest,
        question: Question,
        summary: tuple[str, ...],
        *,
        more: Next,
        done: Next,
    ) -> Next:
        shared.documents = tuple(
            evolve(each, summary=summary) if each == question.document else each
            for each in shared.documents
        )
        return done if all(each.summary for each in shared.documents) else more


TASK: Final = (
    "Condense the document to at most five plain sentences of at most 30 words each, the most "
    "important first. No headings, no lists, nothing that the document does not say."
)


def condensed(answer: object) -> tuple[str, ...]:
    """The sentences in a chat completion."""
    match answer:
        case {"choices": [{"finish_reason": "length"}]}:
            raise ModelError("the model's answer was cut off")
        case {"choices": [{"message": {"content": str(text)}}]} if sentences := parsed(text)[1]:
            return sentences
        case _:
            raise ModelError("the model's answer holds no sentence")


@step
async def go_without(digest: Digest) -> None:
    """Remember why the model is asked no more."""
    match current_step().caught:
        case DeadlineExceededError(seconds=seconds):
            digest.trouble = f"the model gave no answer within {seconds:g} s"
        case error:
            digest.trouble = str(error)


# ---------------------------------------------------------------- draft, review, revise


@step
async def draft(digest: Digest) -> None:
    digest.draft = await current_step().to_thread(drafted, digest)


def drafted(digest: Digest) -> Draft:
    """Choose sentences: four times as many words earn a document twice as many."""
    corpus, chosen = Corpus.of(digest.documents), dict[str, tuple[str, ...]]()
    for each in digest.documents:
        number = max(1, round(math.sqrt(each.words / digest.per_sentence)))
        chosen[each.path] = corpus.best(each, number, digest.struck, digest.preferred)
    return chosen


class Review:
    """Measure a draft against all that is demanded of it."""

    async def prep(self, shared: Digest) -> Submission:
        return shared.draft, shared.words, shared.key_terms

    async def exec(self, submission: Submission) -> tuple[Criterion, ...]:
        draft, limit, key_terms = submission
        said = list(everything(draft))
        words, longest = sum(map(count, said)), max(map(count, said))
        bags = [set(terms(sentence)) for sentence in said]
        alike = [(overlap(bags[a], bags[b]), b) for a, b in combinations(range(len(said)), 2)]
        most = max((share for share, _ in alike), default=0.0)
        silent = [path for path, chosen in draft.items() if not chosen]
        unsaid = [term for term in key_terms if not any(term in bag for bag in bags)]
        heard, mentioned = len(draft) - len(silent), len(key_terms) - len(unsaid)
        return (
            Criterion(
                name="length",
                demand=f"at most {limit:,} words",
                measured=f"{words:,} words",
                faults=tuple(s for s in said if words > limit and count(s) * len(said) > limit),
            ),
            Criterion(
                name="completeness",
                demand="a sentence of every document",
                measured=f"{heard} of {len(draft)}",
                faults=tuple(silent),
            ),
            Criterion(
                name="sentences",
                demand=f"at most {LONGEST} words in each",
                measured=f"{longest} in the longest",
                faults=tuple(sentence for sentence in said if count(sentence) > LONGEST),
            ),
            Criterion(
                name="repetition",
                demand=f"no two with {SAME:.0%} of their terms in common",
                measured=f"{most:.0%} at most",
                faults=tuple(said[b] for share, b in alike if share >= SAME),
            ),
            Criterion(
                name="coverage",
                demand=f"{COVERED:.0%} of the key terms",
                measured=f"{mentioned} of {len(key_terms)}",
                faults=tuple(unsaid) if mentioned < COVERED * len(key_terms) else (),
            ),
        )

    async def post(
        self,
        shared: Digest,
        _: object,
        found: tuple[Criterion, ...],
        *,
        passed: Next,
        failed: Next,
    ) -> Next:
        shared.criteria = found
        return failed if any(criterion.faults for criterion in found) else passed


@step
async def revise(digest: Digest) -> None:
    """Change what the next draft is made from, for every criterion that was not met."""
    for each in digest.criteria:
        if not each.faults:
            continue
        if each.name == "length" and any(len(chosen) > 1 for chosen in digest.draft.values()):
            over = sum(map(count, everything(digest.draft))) / max(digest.words, 1)
            digest.per_sentence *= max(over, 1.1)
            change = "longer documents got fewer sentences"
        elif each.name == "coverage":
            digest.preferred += tuple(mentioning(digest, each.faults))
            change = f"sentences with {', '.join(each.faults)} came first"
        else:
            digest.struck += each.faults
            change = f"sentences that gave way to others: {len(each.faults)}"
        digest.revisions += (
            f"{each.name}: {each.measured}, asked for {each.demand}; {change}",
        )


def mentioning(digest: Digest, unsaid: tuple[str, ...]) -> Iterator[str]:
    """For each term a sentence that mentions it, and as many others as possible."""
    tried = {*digest.struck, *digest.preferred}
    texts = [text for each in digest.documents for text in each.sentences if text not in tried]
    bags = {text: terms(text) for text in texts if SHORTEST <= count(text) <= LONGEST}
    for term in unsaid:
        having = [text for text in bags if term in bags[text]]
        if having:
            yield max(having, key=lambda text: sum(other in bags[text] for other in unsaid))


def everything(draft: Draft) -> Iterator[str]:
    return (sentence for chosen in draft.values() for sentence in chosen)


# ---------------------------------------------------------------- publish


@step
async def publish(digest: Digest) -> None:
    """Write the page beside its place and move it there, so that nobody sees half of it."""
    here, out = current_step(), Path(digest.out)
    half = out.with_name(f".{out.name}.{here.run_id}")

    def write() -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            half.write_text("\n".join(page(digest)), encoding="utf-8", newline="\n")
            half.replace(out)
        finally:
            half.unlink(missing_ok=True)

    await here.to_thread(write)
    digest.published = digest.out


def page(digest: Digest) -> Iterator[str]:
    before = sum(each.words for each in digest.documents)
    after = sum(map(count, everything(digest.draft)))
    yield f"# Digest of {Path(digest.folder).resolve().name}\n"
    yield f"{len(digest.documents)} documents with {before:,} words, in {after:,} words."
    if digest.model:
        yield f"They are the words of {digest.model_name} where not marked as quoted."
    if digest.trouble:
        yield f"It was not asked to the end: {digest.trouble}."
    yield f"What it is about: {', '.join(digest.key_terms)}.\n"
    yield "| criterion | asked for | measured |\n|---|---|---|"
    yield from (
        f"| {each.name} | {each.demand} | {each.measured} |" for each in digest.criteria
    )
    if digest.revisions:
        yield "\nWhat the review changed:\n"
        yield from (f"- {revision}" for revision in digest.revisions)
    for each in digest.documents:
        chosen = digest.draft[each.path]
        quoted = ", quoted" if digest.model and not set(chosen) <= set(each.summary) else ""
        yield f"\n## [{each.title}]({each.link})\n"
        yield from (f"- {sentence}" for sentence in chosen)
        yield f"\n*{each.path}, {each.words:,} words{quoted}*"
    if digest.left_out:
        yield "\n## Left out\n"
        yield from (f"- {path}: {reason}" for path, reason in digest.left_out.items())
    yield ""


# ---------------------------------------------------------------- the flow

read = Step(Read())
ask = Step(Ask(), timeout=60.0)
review = Step(Review(), max_visits=8)


@flow
def editing(*, approved: Next, abandoned: Next) -> Wiring[Digest]:
    """Draft and revise until a draft passes; after eight reviews give up."""
    return [
        draft.then(review),
        review.to(passed=approved, failed=revise).catch(MaxVisitsError, to=abandoned),
        revise.then(draft),
    ]


edit = Step(editing)


@flow
def digest(*, published: Next, abandoned: Next) -> Wiring[Digest]:
    """Condense a folder of texts into one reviewed page."""
    return [
        read.to(by_model=ask, by_quoting=edit),
        ask.to(more=ask, done=edit).catch(ModelError, DeadlineExceededError, to=go_without),
        go_without.then(edit),
        edit.to(approved=publish, abandoned=abandoned),
        publish.then(published),
    ]


# ---------------------------------------------------------------- from Markdown to sentences

MARKDOWN: Final = MarkdownIt("commonmark").enable("table")
FRONT_MATTER: Final = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
ROLE: Final = re.compile(r"\{[\w:-]+\}`~?([^`<]+?)\s*(?:<[^`]*>)?`")  # of MyST
END: Final = re.compile(r"[.!?…]+[\"'”)]*(?P<gap>\s+)(?=\S)")
UNFINISHED: Final = re.compile(  # ends with a full stop that ends no sentence
    r"\b([A-Z]|Dr|Mrs?|Ms|Prof|St|(?i:e\.g|i\.e|cf|vs|al|approx|figs?|eqs?|sec|vol))\.$"
)


def parsed(text: str, *, markdown: bool = True) -> tuple[str, tuple[str, ...]]:
    """Return the title and, each once, the sentences; headings, code and tables hold none."""
    text = FRONT_MATTER.sub("", text) if markdown else re.sub(r"(?m)^[ \t]+", "", text)
    title, found, around = "", dict[str, None](), list[str]()
    for token in MARKDOWN.parse(text):
        if token.nesting > 0:
            around.append(token.type)
        elif token.nesting < 0:
            around.pop()
        elif token.type == "inline" and around[-1] == "heading_open":
            title = title or " ".join(plain(token).split())
        elif token.type == "inline" and "table_open" not in around:
            for part in re.split(
                r"\n: |^:::.*|\n:::.*", plain(token)
            ):  # MyST: definition, fence
                found.update(dict.fromkeys(split(" ".join(part.split()))))
    return title, tuple(found)


def plain(inline: Token) -> str:
    """The text without links, images and emphasis; inline code keeps its backticks."""
    parts = list[str]()
    for child in inline.children or ():
        if child.type == "code_inline":
            parts.append(f"`{child.content}`")
        elif child.type == "text":  # what would be markup on the page is marked as text again
            parts.append(re.sub(r"\*|<(?=[A-Za-z/!])|\](?=[\[(])", r"\\\g<0>", child.content))
        elif child.type in {"softbreak", "hardbreak"}:
            parts.append("\n")
    return ROLE.sub(r"`\1`", "".join(parts))


def split(line: str) -> Iterator[str]:
    """Cut after sentences; what does not end like one (``such as:``) is left out."""
    start, hidden = 0, re.sub(r"`[^`]*`", lambda code: "X" * len(code[0]), f"{line} |")
    for end in END.finditer(hidden):
        if not (UNFINISHED.search(hidden[: end.start() + 1]) or hidden[end.end()].islower()):
            yield line[start : end.start("gap")]
            start = end.end()


# ---------------------------------------------------------------- what a sentence is worth

STOP_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        """about after again all also always and another any are because been before being between both
        but can cannot come could did does each either else every few for from get give given goes had
        has have her here him his how however into its itself just last least less let like made make
        many may might more most much must need neither never nor not nothing now off once one only
        other our out over own per same say see several shall she should since some still such take
        than that the their them then there these they this those through thus too two under until
        upon use used using very via want was way well were what when where whether which while who
        whole whom whose why will with within without would yes yet you your""",
    )
)
DANGLING: Final = re.compile(  # as if something stood before it
    r"(?i)(also|and|both|but|he|here|however|it|its|neither|or|otherwise|she|so|such|that|their|then"
    r"|there|therefore|these|they|this|those|thus)\b|.*\b(above|below|following|this\W*$)\b"
)


def count(text: str) -> int:
    return len(text.split())


def terms(text: str) -> list[str]:
    """The words that carry meaning, in small letters, plurals as singulars."""
    words = (word.lower() for word in re.findall(r"[^\W\d_]\w{2,}+(?!['\u2019]t\b)", text))
    return [singular(word) for word in words if word not in STOP_WORDS]


def singular(word: str) -> str:
    for plural, one in (
        ("ies", "y"),
        ("sses", "ss"),
        ("shes", "sh"),
        ("ches", "ch"),
        ("xes", "x"),
    ):
        if word.endswith(plural):
            return word.removesuffix(plural) + one
    return word[:-1] if word.endswith("s") and word[-2] not in "siu" else word


def overlap(a: set[str], b: set[str]) -> float:
    """The share of their terms that two sentences have in common: 2 |A and B| / (|A| + |B|)."""
    return 2 * len(a & b) / max(len(a) + len(b), 1)


@frozen
class Corpus:
    """What terms weigh: *spread* says in how many of *size* documents each occurs."""

    size: int
    spread: Mapping[str, int]

    @classmethod
    def of(cls, documents: Iterable[Document]) -> Corpus:
        found = [dict.fromkeys(terms(" ".join(each.sentences))) for each in documents]
        return cls(len(found), Counter(term for each in found for term in each))

    def vector(self, text: str) -> Mapping[str, float]:
        """Weigh terms by TF-IDF, occurrences times ln(1 + size / spread), to a length of 1."""
        often = Counter(terms(text))
        weights = {
            t: n * math.log1p(self.size / self.spread.get(t, 1)) for t, n in often.items()
        }
        norm = math.hypot(*weights.values()) or 1.0
        return {term: weight / norm for term, weight in weights.items()}

    def key_terms(self, documents: Iterable[Document]) -> tuple[str, ...]:
        """The heaviest terms of all documents together, of those that more than one has."""
        total = dict[str, float]()
        for each in documents:
            for term, weight in self.vector(" ".join(each.sentences)).items():
                total[term] = total.get(term, 0.0) + weight
        shared = (term for term in total if self.spread[term] > 1 or self.size == 1)
        return tuple(sorted(shared, key=lambda term: (-total[term], term))[:KEY_TERMS])

    def best(
        self,
        document: Document,
        number: int,
        struck: tuple[str, ...],
        preferred: tuple[str, ...],
    ) -> tuple[str, ...]:
        """Choose *number* sentences by their merit, less what the others say already.

        Merit is what a sentence has in common with its document as a whole, the centroid (their
        cosine), and its place: the earlier the better (Radev et al., "Centroid-based summarization
        of multiple documents", Inf. Process. Manage. 40, 2004). It is half of that if the sentence
        hangs on the one before. The choice is by maximal marginal relevance with lambda = 0.7
        (Carbonell and Goldstein, "The use of MMR", SIGIR 1998).
        """
        centroid, merits = self.vector(" ".join(document.sentences)), dict[str, float]()
        texts = candidates(document, struck, preferred)
        for place, text in enumerate(texts):
            cosine = sum(w * centroid.get(term, 0.0) for term, w in self.vector(text).items())
            merit = cosine + 0.2 * (1 - place / len(texts))
            merits[text] = merit * (0.5 if DANGLING.match(text) else 1.0) + 2 * (
                text in preferred
            )
        bags, chosen = {text: set(terms(text)) for text in merits}, list[str]()

        def relevance(text: str) -> float:
            said = max((overlap(bags[text], bags[other]) for other in chosen), default=0.0)
            return 0.7 * merits[text] - 0.3 * said

        while len(chosen) < min(number, len(merits)):
            chosen.append(max((text for text in merits if text not in chosen), key=relevance))
        return tuple(text for text in merits if text in chosen)


def candidates(
    document: Document, struck: tuple[str, ...], preferred: tuple[str, ...]
) -> tuple[str, ...]:
    """The sentences that may stand for a document; if none is left, the beginning of its first."""
    wanted = tuple(text for text in document.sentences if text in preferred)
    for source in (document.summary, document.sentences):
        fine = (text for text in source if count(text) >= SHORTEST and text not in struck)
        if found := tuple(dict.fromkeys((*fine, *wanted))):
            return found
    return (" ".join(document.sentences[0].split()[: LONGEST - 1]) + " …",)
