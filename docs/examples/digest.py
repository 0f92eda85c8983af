"""Condense a folder of Markdown and text files into one page that has passed a review.

    agentflow run docs/examples/digest.py:digest
    agentflow run docs/examples/digest.py:digest --set folder=notes --set out=notes.md
    agentflow run docs/examples/digest.py:digest --set model=http://localhost:8080/v1

It reads the files, eight at once, drafts with sentences quoted from each, reviews the draft
against five criteria, revises until all are met, and writes the page. A file that cannot be used
is named on the page, with the reason. With ``model``, an OpenAI-compatible endpoint condenses
each document first, four at once (``pip install httpx``; the key, if it wants one, in
OPENAI_API_KEY). It may fail: it is asked again, no sooner than it wishes, and left alone when
that is of no use. A document without an answer is quoted, and the page says why.

A draft that never passes is not published: the flow leaves by ``abandoned`` with the verdict in
its state, and an earlier digest stays as it was, so that whoever finds one may rely on it. The
same files give the same bytes: no clock, no dice, no absolute path.

First the state, then the steps in the order of their work, in the end the flow that connects
them. What they know of Markdown and of the worth of a sentence is in prose.py.
"""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

from attrs import define, field, frozen
from outcome import Error, Maybe

import prose
from agentflow_trio import (
    CircuitBreaker,
    CircuitOpenError,
    CircuitPolicy,
    DeadlineExceededError,
    MaxVisitsError,
    Next,
    RateLimiter,
    RetryPolicy,
    Share,
    Step,
    Wiring,
    current_step,
    each,
    flow,
    step,
)
from prose import Draft, Merits, Texts, Verdict, count, parsed

if TYPE_CHECKING:
    import httpx

TEXT: Final = (".md", ".markdown", ".txt")  # how the names of what is read end
WORDS: Final = 50  # a document has in the digest, if nothing else is asked for
ENOUGH: Final = 25  # words; a document with fewer is as short as its digest


# ---------------------------------------------------------------- the state


@frozen
class Document:
    """A file that was read."""

    path: str  # below the folder
    link: str  # from the page
    title: str
    sentences: Texts

    @property
    def words(self) -> int:
        return count(*self.sentences)


@define
class Brief:
    """What drafts are made by, and what a revision changes."""

    per_sentence: float = 60.0  # words of a document that are worth a sentence
    longest: int = sys.maxsize  # words in a sentence; what is too long is for the review to say
    distinct: bool = False  # no sentence says what one of another document does
    preferred: Texts = ()  # sentences that come first


Documents: TypeAlias = tuple[Document, ...]
LeftOut: TypeAlias = dict[str, str]  # path: reason
Candidates: TypeAlias = dict[str, Sequence[Merits]]


@define
class Digest:
    """The state. Give the first five with ``--set``; each step adds what its comment says."""

    folder: str = field(factory=lambda: os.path.relpath(Path(__file__).parents[1]))
    out: str = "digest.md"
    words: int = 0  # at most; 50 a document if not given
    model: str = ""  # the address of an endpoint, if one is to be asked
    model_name: str = "default"
    # find: the files; with read, by path, why one is not in the digest
    found: tuple[Path, ...] = field(default=(), repr=False)
    left_out: LeftOut = field(factory=dict[str, str])
    # read
    documents: Documents = field(default=(), repr=False)
    # ask: by path, what the model made of the document, or why nothing
    summaries: dict[str, Texts] = field(factory=dict[str, Texts], repr=False)
    unanswered: dict[str, str] = field(factory=dict[str, str], repr=False)
    # condense: what all documents are about; by path, sentences that may stand for one, those of
    # a summary first
    key_terms: Texts = field(default=(), repr=False)
    candidates: Candidates = field(factory=dict[str, Sequence[Merits]], repr=False)
    # draft, review, revise
    draft: Draft = field(factory=dict[str, Texts], repr=False)
    criteria: Verdict = field(default=(), repr=False)
    brief: Brief = field(factory=Brief, repr=False)
    revisions: Texts = ()
    # publish: where the page is
    published: str = ""


# ---------------------------------------------------------------- find and read


@step
async def find(digest: Digest) -> None:
    """Look for texts below the folder; a folder that cannot be opened is left out, by name."""
    digest.found, digest.left_out = await current_step().to_thread(
        below, Path(digest.folder), Path(digest.out)
    )


def below(root: Path, out: Path) -> tuple[tuple[Path, ...], LeftOut]:
    paths, left_out = list[Path](), dict[str, str]()

    def lost(error: OSError) -> None:
        left_out[prose.shown(os.path.relpath(error.filename, root))] = str(error.strerror)

    for folder, inner, names in os.walk(root, onerror=lost):
        inner[:] = sorted(name for name in inner if not name.startswith((".", "_")))
        texts = (name for name in sorted(names) if name.lower().endswith(TEXT))
        paths += (Path(folder, name) for name in texts)
    unlike = os.path.realpath(out)
    return tuple(path for path in paths if os.path.realpath(path) != unlike), left_out


class UselessError(Exception):
    """A file holds nothing to condense."""


class NothingToReadError(Exception):
    """No file does."""


class Read:
    """Read the files, eight at once, each in a thread; a bad one costs the others nothing."""

    async def prep(self, shared: Digest) -> Sequence[Path]:
        return shared.found

    async def exec(self, path: Path) -> tuple[str, Texts]:
        return await current_step().to_thread(read_file, path)

    async def post(
        self,
        shared: Digest,
        paths: Sequence[Path],
        texts: Sequence[Maybe[tuple[str, Texts]]],
        *,
        by_model: Next,
        by_quoting: Next,
    ) -> Next:
        documents = dict[Texts, Document]()
        for path, text in zip(paths, texts, strict=True):
            name = prose.shown(path.relative_to(shared.folder).as_posix())
            if isinstance(text, Error):
                shared.left_out[name] = reason(text.error)
                continue
            title, sentences = text.value
            first = documents.setdefault(
                sentences, Document(name, linked(path, shared.out), title, sentences)
            )
            if first.path != name:
                shared.left_out[name] = f"says the same as {first.path}"
        if not documents:
            why = "".join(f"\n{path}: {text}" for path, text in shared.left_out.items())
            raise NothingToReadError(f"no Markdown or text to condense in {shared.folder}{why}")
        shared.documents = tuple(documents.values())
        shared.words = shared.words or WORDS * len(documents)
        return by_model if shared.model else by_quoting


def read_file(path: Path) -> tuple[str, Texts]:
    """The title and the sentences in a file."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise UselessError("no file")  # to read a pipe may never end
    title, sentences = parsed(
        path.read_text("utf-8-sig"), markdown=path.suffix.lower() != ".txt"
    )
    if count(*sentences) < ENOUGH:
        raise UselessError(f"{count(*sentences)} words in sentences")
    return title or prose.shown(path.stem), sentences


def linked(path: Path, page: str) -> str:
    return quote(os.fsencode(Path(os.path.relpath(path, Path(page).parent)).as_posix()))


def reason(error: BaseException) -> str:
    match error:
        case OSError(strerror=str(text)):
            return text
        case UnicodeDecodeError():
            return "not UTF-8"
        case UselessError() | ModelError():
            return str(error)
        case DeadlineExceededError(seconds=seconds):
            return f"the model gave no answer within {seconds:g} s"
        case CircuitOpenError():
            return "the model had failed too often to be asked"
        case _:
            return f"{type(error).__name__}: {error}"


# ---------------------------------------------------------------- ask a model, or go without


class ModelError(Exception):
    """The model was asked and gave no answer that can be used."""


class LaterError(ModelError):
    """It may give one if asked again, in ``retry_after`` seconds at the earliest."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


TASK: Final = (
    "Condense the document to at most five plain sentences of at most 30 words each, the most "
    "important first. No headings, no lists, nothing that the document does not say."
)


@frozen
class Question:
    client: httpx.AsyncClient
    model: str
    document: Document


class Ask:
    """Have the model condense the documents; one that it does not answer costs no other."""

    async def prep(self, shared: Digest) -> Sequence[Question]:
        try:
            import httpx  # noqa: PLC0415 - only who asks a model needs it
        except ImportError as missing:
            raise RuntimeError("to ask a model, run  pip install httpx") from missing
        unlimited = httpx.Timeout(None)  # an attempt's timeout is for everything together
        client = httpx.AsyncClient(base_url=shared.model, timeout=unlimited)
        await current_step().enter(client)  # until the step ends
        return [Question(client, shared.model_name, document) for document in shared.documents]

    async def exec(self, question: Question) -> Texts:
        import httpx  # noqa: PLC0415

        text = f"{question.document.title}\n\n{' '.join(question.document.sentences)}"
        messages = [{"role": "system", "content": TASK}, {"role": "user", "content": text}]
        body = {"model": question.model, "temperature": 0, "messages": messages}
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = await question.client.post(
                "chat/completions", json=body, headers=headers
            )
            if not response.is_success:
                raise refusal(response)
            return condensed(response.json())
        except (httpx.HTTPError, ValueError) as error:  # its text may quote the key
            raise LaterError(f"the model gave no answer ({type(error).__name__})") from None

    async def post(
        self, shared: Digest, questions: Sequence[Question], answers: Sequence[Maybe[Texts]]
    ) -> None:
        for question, answer in zip(questions, answers, strict=True):
            if isinstance(answer, Error):
                tried = answer.error.__cause__  # before its circuit opened
                shared.unanswered[question.document.path] = reason(tried or answer.error)
            else:
                shared.summaries[question.document.path] = answer.value


def refusal(response: httpx.Response) -> ModelError:
    """What to raise for a response that is no answer."""
    text = f"the model answered {response.status_code}"
    if response.status_code in {408, 429} or response.is_server_error:
        wait = response.headers.get("Retry-After", "")
        return LaterError(text, float(wait) if wait.isdecimal() else 0.0)  # it may be a date
    return ModelError(text)


def condensed(answer: object) -> Texts:
    """The sentences in a chat completion."""
    match answer:
        case {"choices": [{"finish_reason": "length"}]}:
            raise ModelError("the model's answer was cut off")
        case {"choices": [{"message": {"content": str(text)}}]} if sentences := parsed(text)[1]:
            return sentences
        case _:
            raise ModelError("the model's answer holds no sentence")


@step
async def condense(digest: Digest) -> None:
    """Weigh what may stand for each document."""
    here = current_step()
    texts = [document.sentences for document in digest.documents]
    corpus = await here.to_thread(prose.Corpus.of, texts)
    digest.key_terms = await here.to_thread(corpus.key_terms)
    for number, document in enumerate(digest.documents):
        here.report(number / len(texts), document.path)
        sources = document.sentences, digest.summaries.get(document.path, ())
        digest.candidates[document.path] = await here.to_thread(corpus.candidates, *sources)


# ---------------------------------------------------------------- draft, review, revise


@step
async def draft(digest: Digest) -> None:
    digest.draft = await current_step().to_thread(drafted, digest)


def drafted(digest: Digest) -> Draft:
    chosen, said = dict[str, Texts](), list[prose.Bag]()
    for document in digest.documents:
        chosen[document.path] = best(document, digest, said if digest.brief.distinct else [])
        said += map(prose.bag, chosen[document.path])
    return chosen


def best(document: Document, digest: Digest, said: Sequence[prose.Bag]) -> Texts:
    """Choose sentences of the summary or else the text; if all are too long, the shortest.

    Four times as many words earn a document twice as many sentences, up to five.
    """
    brief = digest.brief
    number = max(1, min(5, round(math.sqrt(document.words / brief.per_sentence))))
    wanted = {text: 2.0 for text in document.sentences if text in brief.preferred}
    for merits in digest.candidates[document.path]:
        fine = {t: m for t, m in {**merits, **wanted}.items() if count(t) <= brief.longest}
        if chosen := prose.relevant(fine, number, said):
            return chosen
    return prose.shortest(document.sentences, said)


class Review:
    """Measure a draft against all that is demanded of it."""

    async def prep(self, shared: Digest) -> tuple[Draft, int, Texts]:
        return shared.draft, shared.words, shared.key_terms

    async def exec(self, submission: tuple[Draft, int, Texts]) -> Verdict:
        return await current_step().to_thread(prose.measured, *submission)

    async def post(
        self, shared: Digest, _: object, found: Verdict, *, passed: Next, failed: Next
    ) -> Next:
        shared.criteria = found
        return failed if any(criterion.faults for criterion in found) else passed


@step
async def revise(digest: Digest) -> None:
    """Remedy what the review found; the length last, for all else changes it too."""
    failed = [criterion for criterion in digest.criteria if criterion.faults]
    others = [criterion for criterion in failed if criterion.name != "length"]
    for criterion in others or failed:
        what = f"{criterion.name}: {criterion.measured}, asked for {criterion.demand}"
        digest.revisions += (f"{what}; {remedy(digest, criterion)}",)


def remedy(digest: Digest, failed: prose.Criterion) -> str:
    """Change what the next draft is made from; say how."""
    brief, faults = digest.brief, failed.faults
    match failed.name:
        case "length" if any(len(chosen) > 1 for chosen in digest.draft.values()):
            excess = count(*prose.said(digest.draft)) / digest.words
            brief.per_sentence *= max(excess, 1.2) ** 2
            return "long documents got fewer sentences"
        case "length":
            brief.longest = digest.words // len(digest.documents)
            return f"sentences of more than {brief.longest} words gave way"
        case "sentences":
            brief.longest = min(prose.LONGEST, brief.longest)
            return "longer ones gave way"
        case "coverage":
            limit = min(prose.LONGEST, brief.longest)
            texts = (text for document in digest.documents for text in document.sentences)
            fine = (text for text in texts if prose.SHORTEST <= count(text) <= limit)
            fresh = (text for text in fine if text not in brief.preferred)
            brief.preferred += prose.mentioning(faults, fresh)
            return f"sentences with {', '.join(faults)} came first"
        case "repetition":
            brief.distinct = True
            return "what another document says gave way"
        case _:
            digest.left_out |= dict.fromkeys(faults, "says nothing that others do not say")
            digest.documents = tuple(d for d in digest.documents if d.path not in faults)
            return f"left out: {', '.join(faults)}"


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
    before = sum(document.words for document in digest.documents)
    after = count(*prose.said(digest.draft))
    yield f"# Digest of {Path(digest.folder).resolve().name}\n"
    yield f"{len(digest.documents)} documents with {before:,} words, in {after:,} words."
    if digest.model:
        yield f"They are the words of {digest.model_name} where not marked as quoted."
    yield f"What it is about: {', '.join(digest.key_terms)}.\n"
    yield "| criterion | asked for | measured |\n|---|---|---|"
    for criterion in digest.criteria:
        yield f"| {criterion.name} | {criterion.demand} | {criterion.measured} |"
    if digest.revisions:
        yield "\nWhat the review changed:\n"
        yield from (f"- {revision}" for revision in digest.revisions)
    for document in digest.documents:
        chosen = digest.draft[document.path]
        own_words = set(chosen) <= set(digest.summaries.get(document.path, ()))
        quoted = ", quoted" if digest.model and not own_words else ""
        if why := digest.unanswered.get(document.path):
            quoted += f": {why}"
        yield f"\n## [{document.title}]({document.link})\n"
        yield from (f"- {sentence}" for sentence in chosen)
        yield f"\n*{document.path}, {document.words:,} words{quoted}*"
    if digest.left_out:
        yield "\n## Left out\n"
        yield from (f"- {path}: {reason}" for path, reason in digest.left_out.items())
    yield ""


# ---------------------------------------------------------------- the flow

read = Step(each(Read(), concurrent=8, tolerate=Share(1.0)), name="read")

# Three questions a document; when four documents' worth in a row go wrong, no more are asked.
again = RetryPolicy(max_attempts=3, base_delay=2.0, on=(LaterError, DeadlineExceededError))
circuit = CircuitBreaker("model", CircuitPolicy(failure_threshold=12))
pace = RateLimiter("requests", limit=120, window=60.0)
ask = Step(
    each(
        Ask(),
        concurrent=4,
        tolerate=Share(1.0),
        retry=again,
        guards=(circuit, pace),
        attempt_timeout=60.0,
    ),
    name="ask",
)

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
        find.then(read),
        read.to(by_model=ask, by_quoting=condense),
        ask.then(condense),
        condense.then(edit),
        edit.to(approved=publish, abandoned=abandoned),
        publish.then(published),
    ]
