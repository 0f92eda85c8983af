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
from collections.abc import Iterator, Mapping
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

WORDS: Final = 50  # a document has in the digest, if nothing else is asked for
ENOUGH: Final = 25  # words; a document with fewer is as short as its digest
SHORTEST, LONGEST = 6, 40  # words in a sentence
SAME: Final = 0.6  # share of common terms from which two sentences say the same
KEY_TERMS, COVERED = 20, 0.8  # at most, two a document; the share that a draft must mention


@frozen
class Document:
    """A file that was read. summary: sentences of the model's, if it was asked and answered.

    merits: what may stand for the document, each sentence with its worth from 0 to 1.2; first those of
    the summary, if there is one, then its own.
    """

    path: str
    link: str
    title: str
    sentences: Texts
    summary: Texts = ()
    merits: tuple[Mapping[str, float], ...] = ()

    @property
    def words(self) -> int:
        return sum(map(count, self.sentences))


@frozen
class Criterion:
    """Something demanded of a draft, met if there are no faults."""

    name: str
    demand: str
    measured: str
    faults: Texts


Texts: TypeAlias = tuple[str, ...]
Draft: TypeAlias = Mapping[str, Texts]  # what was chosen from each document
Verdict: TypeAlias = tuple[Criterion, ...]
Documents: TypeAlias = tuple[Document, ...]


@define
class Digest:
    """The state. Give the first five with ``--set``; the last says where the result is.

    words: at most, 50 a document if not given. per_sentence, longest, distinct and preferred are what
    a revision changes and drafts are made from: how many words of a document are worth a sentence, how
    many one may have, whether it may repeat another document, and which ones come first.
    """

    folder: str = field(factory=lambda: os.path.relpath(Path(__file__).parents[1]))
    out: str = "digest.md"
    words: int = 0
    model: str = ""
    model_name: str = "default"
    documents: Documents = field(default=(), repr=False)
    key_terms: Texts = field(default=(), repr=False)
    per_sentence: float = field(default=60.0, repr=False)
    longest: float = field(default=math.inf, repr=False)
    distinct: bool = field(default=False, repr=False)
    preferred: Texts = field(default=(), repr=False)
    draft: Draft = field(factory=dict[str, Texts], repr=False)
    criteria: Verdict = field(default=(), repr=False)
    left_out: Mapping[str, str] = field(factory=dict[str, str])
    trouble: str = ""
    revisions: Texts = ()
    published: str = ""


# ---------------------------------------------------------------- read


class NothingToReadError(Exception):
    """The folder holds no text to condense."""


class Read:
    """Read the folder, in a thread, and see whether there is a model to ask."""

    async def prep(self, shared: Digest) -> tuple[Path, Path]:
        return Path(shared.folder), Path(shared.out)

    async def exec(self, paths: tuple[Path, Path]) -> tuple[Documents, Mapping[str, str]]:
        documents, left_out = await current_step().to_thread(read_folder, *paths)
        if not documents:
            reasons = "".join(f"\n{path}: {reason}" for path, reason in left_out.items())
            raise NothingToReadError(f"no Markdown or text to condense in {paths[0]}{reasons}")
        return documents, left_out

    async def post(
        self,
        shared: Digest,
        _: object,
        reading: tuple[Documents, Mapping[str, str]],
        *,
        by_model: Next,
        by_quoting: Next,
    ) -> Next:
        shared.documents, shared.left_out = reading
        shared.words = shared.words or WORDS * len(shared.documents)
        return by_model if shared.model else by_quoting


def read_folder(root: Path, out: Path) -> tuple[Documents, Mapping[str, str]]:
    """Read every file that is text; what is left out is named with the reason."""
    documents = dict[Texts, Document]()
    paths, left_out = list[Path](), dict[str, str]()

    def lost(error: OSError) -> None:
        left_out[shown(os.path.relpath(error.filename, root))] = str(error.strerror)

    for folder, below, names in os.walk(root, onerror=lost):
        below[:] = sorted(name for name in below if not name.startswith((".", "_")))
        found = (Path(folder, name) for name in sorted(names))
        texts = (path for path in found if path.suffix.lower() in {".md", ".markdown", ".txt"})
        paths += (path for path in texts if os.path.realpath(path) != os.path.realpath(out))
    for number, path in enumerate(paths):
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

    async def exec(self, question: Question) -> Texts:
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
        self, shared: Digest, question: Question, summary: Texts, *, more: Next, done: Next
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


def condensed(answer: object) -> Texts:
    """The sentences in a chat completion."""
    match answer:
        case {"choices": [{"finish_reason": "length"}]}:
            raise ModelError("the model's answer was cut off")
        case {"choices": [{"message": {"content": str(text)}}]} if sentences := parsed(text)[1]:
            return sentences
        case _:
            raise ModelError("the model's answer holds no sentence")


class Condense:
    """Weigh the sentences that may stand for each document: the model's, or else its own."""

    async def prep(self, shared: Digest) -> Documents:
        return shared.documents

    async def exec(self, documents: Documents) -> tuple[Documents, Texts]:
        here, weighed = current_step(), list[Document]()
        corpus = await here.to_thread(Corpus.of, documents)
        for number, document in enumerate(documents):
            here.report(number / len(documents), document.path)
            weighed.append(await here.to_thread(corpus.weighed, document))
        return tuple(weighed), await here.to_thread(corpus.key_terms)

    async def post(self, shared: Digest, _: object, result: tuple[Documents, Texts]) -> None:
        shared.documents, shared.key_terms = result
        match current_step().caught:  # what led here, if the model did not answer to the end
            case DeadlineExceededError(seconds=seconds):
                shared.trouble = f"the model gave no answer within {seconds:g} s"
            case ModelError() as error:
                shared.trouble = str(error)
            case _:
                shared.trouble = ""


# ---------------------------------------------------------------- draft, review, revise


@step
async def draft(digest: Digest) -> None:
    digest.draft = await current_step().to_thread(drafted, digest)


def drafted(digest: Digest) -> Draft:
    """Choose sentences: four times as many words earn a document twice as many, up to five."""
    chosen, said = dict[str, Texts](), list[set[str]]()
    for each in digest.documents:
        number = max(1, min(5, round(math.sqrt(each.words / digest.per_sentence))))
        said = said if digest.distinct else []
        chosen[each.path] = best(each, number, digest.longest, digest.preferred, said)
    return chosen


class Review:
    """Measure a draft against all that is demanded of it."""

    async def prep(self, shared: Digest) -> tuple[Draft, int, Texts]:
        return shared.draft, shared.words, shared.key_terms

    async def exec(self, submission: tuple[Draft, int, Texts]) -> Verdict:
        return await current_step().to_thread(measured, *submission)

    async def post(
        self, shared: Digest, _: object, found: Verdict, *, passed: Next, failed: Next
    ) -> Next:
        shared.criteria = found
        return failed if any(criterion.faults for criterion in found) else passed


def measured(draft: Draft, limit: int, key_terms: Texts) -> Verdict:
    said = [text for chosen in draft.values() for text in chosen]
    words, most = sum(map(count, said)), max(map(count, said), default=0)
    excess = (f"{words - limit:,} words too many",) if words > limit else ()
    silent = tuple(path for path, chosen in draft.items() if not chosen)
    long = tuple(text for text in said if count(text) > LONGEST)
    bags = [(text, set(terms(text))) for text in said]
    alike = [(overlap(a, b), later) for (_, a), (later, b) in combinations(bags, 2)]
    share = max((share for share, _ in alike), default=0.0)
    twice = tuple(text for share, text in alike if share >= SAME)
    unsaid = tuple(term for term in key_terms if not any(term in bag for _, bag in bags))
    heard, mentioned = len(draft) - len(silent), len(key_terms) - len(unsaid)
    missed = unsaid if mentioned < COVERED * len(key_terms) else ()
    return (
        Criterion("length", f"at most {limit:,} words", f"{words:,} words", excess),
        Criterion("completeness", "every document", f"{heard} of {len(draft)}", silent),
        Criterion("sentences", f"at most {LONGEST} words each", f"{most} in the longest", long),
        Criterion("repetition", f"under {SAME:.0%} of terms in common", f"{share:.0%}", twice),
        Criterion(
            "coverage",
            f"{COVERED:.0%} of key terms",
            f"{mentioned} of {len(key_terms)}",
            missed,
        ),
    )


@step
async def revise(digest: Digest) -> None:
    """Change what the next draft is made from; the length comes last, for all else changes it too."""
    failed = [each for each in digest.criteria if each.faults]
    for each in [each for each in failed if each.name != "length"] or failed:
        match each.name:
            case "length" if any(len(chosen) > 1 for chosen in digest.draft.values()):
                words = sum(count(text) for chosen in digest.draft.values() for text in chosen)
                digest.per_sentence *= max(words / max(digest.words, 1), 1.2) ** 2
                change = "long documents got fewer sentences"
            case "length":
                digest.longest = digest.words // len(digest.documents)
                change = f"sentences of more than {digest.longest} words gave way"
            case "sentences":
                digest.longest = min(LONGEST, digest.longest)
                change = "longer ones gave way"
            case "coverage":
                digest.preferred += tuple(mentioning(digest, each.faults))
                change = f"sentences with {', '.join(each.faults)} came first"
            case "repetition":
                digest.distinct = True
                change = "what another document says gave way"
            case _:
                silent = dict.fromkeys(each.faults, "says nothing that others do not say")
                digest.left_out = {**digest.left_out, **silent}
                digest.documents = tuple(d for d in digest.documents if d.path not in silent)
                change = f"left out: {', '.join(silent)}"
        digest.revisions += (
            f"{each.name}: {each.measured}, asked for {each.demand}; {change}",
        )


def mentioning(digest: Digest, unsaid: Texts) -> Iterator[str]:
    """For each term a sentence that mentions it, and as many others as possible."""
    texts = [text for each in digest.documents for text in each.sentences]
    fresh = (text for text in texts if SHORTEST <= count(text) <= min(LONGEST, digest.longest))
    bags = {text: terms(text) for text in fresh if text not in digest.preferred}
    for term in unsaid:
        having = [text for text in bags if term in bags[text]]
        if having:
            yield max(having, key=lambda text: sum(other in bags[text] for other in unsaid))


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
    words = sum(count(text) for chosen in digest.draft.values() for text in chosen)
    yield f"# Digest of {Path(digest.folder).resolve().name}\n"
    yield f"{len(digest.documents)} documents with {before:,} words, in {words:,} words."
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
condense = Step(Condense())
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
        read.to(by_model=ask, by_quoting=condense),
        ask.to(more=ask, done=condense).catch(ModelError, DeadlineExceededError, to=condense),
        condense.then(edit),
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


def parsed(text: str, *, markdown: bool = True) -> tuple[str, Texts]:
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
    r"|there|therefore|these|they|this|those|thus)\b|.*\b(above|below|following)\b|.*\bthis\W*$"
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
    """What terms weigh: *spread* says in how many of the documents each occurs."""

    spread: Mapping[str, int]
    documents: Documents

    @classmethod
    def of(cls, documents: Documents) -> Corpus:
        found = (dict.fromkeys(terms(" ".join(each.sentences))) for each in documents)
        return cls(Counter(term for each in found for term in each), documents)

    def vector(self, text: str) -> Mapping[str, float]:
        """Weigh terms by TF-IDF, occurrences times ln(1 + documents / spread), to a length of 1."""
        size, often = len(self.documents), Counter(terms(text))
        weights = {t: n * math.log1p(size / self.spread.get(t, 1)) for t, n in often.items()}
        norm = math.hypot(*weights.values()) or 1.0
        return {term: weight / norm for term, weight in weights.items()}

    def key_terms(self) -> Texts:
        """The heaviest terms of all documents together, of those that more than one has."""
        total, size = dict[str, float](), len(self.documents)
        for each in self.documents:
            for term, weight in self.vector(" ".join(each.sentences)).items():
                total[term] = total.get(term, 0.0) + weight
        shared = (term for term in total if self.spread[term] > 1 or size == 1)
        heaviest = sorted(shared, key=lambda term: (-total[term], term))
        return tuple(heaviest[: min(KEY_TERMS, 2 * size)])

    def weighed(self, document: Document) -> Document:
        """Give *document* the merits of its sentences."""
        sources = (document.summary, document.sentences)
        return evolve(
            document, merits=tuple(self.merits(document, each) for each in sources if each)
        )

    def merits(self, document: Document, source: Texts) -> Mapping[str, float]:
        """Weigh sentences that may stand for *document*; return the thirty best in their order.

        Merit is what a sentence has in common with its document as a whole, the centroid (their
        cosine), and its place, the earlier the better (Radev et al., "Centroid-based summarization of
        multiple documents", Inf. Process. Manage. 40, 2004); half of it if it hangs on the one before.
        """
        centroid, found = self.vector(" ".join(document.sentences)), dict[str, float]()
        texts = [text for text in source if count(text) >= SHORTEST] or source
        for place, text in enumerate(texts):
            cosine = sum(w * centroid.get(term, 0.0) for term, w in self.vector(text).items())
            merit = cosine + 0.2 * (1 - place / len(texts))
            found[text] = merit / 2 if DANGLING.match(text) else merit
        least = sorted(found.values(), reverse=True)[:30][-1]
        return {text: merit for text, merit in found.items() if merit >= least}


def best(
    document: Document,
    number: int,
    longest: float,
    preferred: Texts,
    said: list[set[str]],
) -> Texts:
    """Choose sentences of the summary or else the text; add what they say to *said*."""
    wanted = {text: 2.0 for text in document.sentences if text in preferred}
    for merits in document.merits:
        fine = {t: merit for t, merit in {**merits, **wanted}.items() if count(t) <= longest}
        if chosen := relevant(fine, number, said):
            return chosen
    for text in sorted(document.sentences, key=count):
        beginning = [*text.split()[: LONGEST - 1], "…"]
        short = text if count(text) <= LONGEST else " ".join(beginning)
        if chosen := relevant({short: 1.0}, 1, said):
            return chosen
    return ()


def relevant(merits: Mapping[str, float], number: int, said: list[set[str]]) -> Texts:
    """Choose sentences by maximal marginal relevance, none that is as good as *said*.

    Source: Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering
    documents and producing summaries", SIGIR 1998; with lambda = 0.7.
    """
    bags, left, chosen = {text: set(terms(text)) for text in merits}, [*merits], list[str]()

    def relevance(text: str) -> float:
        common = max((overlap(bags[text], bags[other]) for other in chosen), default=0.0)
        return 0.7 * merits[text] - 0.3 * common

    while left and len(chosen) < number:
        text = max(left, key=relevance)
        left.remove(text)
        if all(overlap(bags[text], other) < SAME for other in said):
            chosen.append(text)
            said.append(bags[text])
    return tuple(text for text in merits if text in chosen)
