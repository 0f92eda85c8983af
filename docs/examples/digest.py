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

First the state, then the steps in the order of their work, in the end the flow that connects them.
What they know of Markdown and of the worth of a sentence is in prose.py.
"""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

from attrs import define, field, frozen

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
from prose import (
    SAME,
    SHORTEST,
    Bag,
    Corpus,
    Merits,
    Texts,
    bag,
    beginning,
    count,
    mentioning,
    one_line,
    overlap,
    parsed,
    relevant,
)

WORDS: Final = 50  # a document has in the digest, if nothing else is asked for
ENOUGH: Final = 25  # words; a document with fewer is as short as its digest
LONGEST: Final = 40  # words in a sentence of the digest
KEY_TERMS, COVERED = 20, 0.8  # at most, two a document; the share that a draft must mention


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
        return sum(map(count, self.sentences))


@frozen
class Criterion:
    """Something demanded of a draft, met if there are no faults."""

    name: str
    demand: str
    measured: str
    faults: Texts


@define
class Brief:
    """What drafts are made by, and what a revision changes."""

    per_sentence: float = 60.0  # words of a document that are worth a sentence
    longest: int = sys.maxsize  # words in a sentence; what is too long is for the review to say
    distinct: bool = False  # no sentence says what one of another document does
    preferred: Texts = ()  # sentences that come first


Documents: TypeAlias = tuple[Document, ...]
LeftOut: TypeAlias = Mapping[str, str]  # path: reason
Draft: TypeAlias = Mapping[str, Texts]  # path: sentences


@define
class Digest:
    """The state. Give the first five with ``--set``; each step adds what its comment says."""

    folder: str = field(factory=lambda: os.path.relpath(Path(__file__).parents[1]))
    out: str = "digest.md"
    words: int = 0  # at most; 50 a document if not given
    model: str = ""  # the address of an endpoint, if one is to be asked
    model_name: str = "default"
    # read
    documents: Documents = field(default=(), repr=False)
    left_out: LeftOut = field(factory=dict[str, str])
    # ask: by path, what the model made of the document
    summaries: dict[str, Texts] = field(factory=dict[str, Texts], repr=False)
    # condense: why the model was not asked to the end; by path, what may stand for the document,
    # first its summary, if there is one; what all are about
    trouble: str = ""
    candidates: Mapping[str, Sequence[Merits]] = field(
        factory=dict[str, Sequence[Merits]], repr=False
    )
    key_terms: Texts = field(default=(), repr=False)
    # draft, review, revise
    draft: Draft = field(factory=dict[str, Texts], repr=False)
    criteria: tuple[Criterion, ...] = field(default=(), repr=False)
    brief: Brief = field(factory=Brief, repr=False)
    revisions: Texts = ()
    # publish: where the page is
    published: str = ""


# ---------------------------------------------------------------- read


class NothingToReadError(Exception):
    """The folder holds no text to condense."""


class Read:
    """Read the folder, in a thread, and see whether there is a model to ask."""

    async def prep(self, shared: Digest) -> tuple[Path, Path]:
        return Path(shared.folder), Path(shared.out)

    async def exec(self, paths: tuple[Path, Path]) -> tuple[Documents, LeftOut]:
        documents, left_out = await current_step().to_thread(read_folder, *paths)
        if not documents:
            reasons = "".join(f"\n{path}: {reason}" for path, reason in left_out.items())
            raise NothingToReadError(f"no Markdown or text to condense in {paths[0]}{reasons}")
        return documents, left_out

    async def post(
        self,
        shared: Digest,
        _: object,
        found: tuple[Documents, LeftOut],
        *,
        by_model: Next,
        by_quoting: Next,
    ) -> Next:
        shared.documents, shared.left_out = found
        shared.words = shared.words or WORDS * len(shared.documents)
        return by_model if shared.model else by_quoting


def read_folder(root: Path, out: Path) -> tuple[Documents, LeftOut]:
    """Read every file that is text; what is left out is named with the reason."""
    paths, documents, left_out = list[Path](), dict[Texts, Document](), dict[str, str]()

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
        if not stat.S_ISREG(path.stat().st_mode):
            return "no file"  # to read a pipe may never end
        text = path.read_text("utf-8-sig")
    except OSError as error:
        return str(error.strerror)
    except UnicodeDecodeError:
        return "not UTF-8"
    title, sentences = parsed(text, markdown=path.suffix.lower() != ".txt")
    link = quote(os.fsencode(Path(os.path.relpath(path, linked_from)).as_posix()))
    document = Document(name, link, title or shown(path.stem), sentences)
    return document if document.words >= ENOUGH else f"{document.words} words in sentences"


def shown(path: str) -> str:
    """A name as text, even if it is none."""
    return one_line(os.fsencode(path).decode("utf-8", "backslashreplace"))


# ---------------------------------------------------------------- ask a model, or go without


class ModelError(Exception):
    """The model was asked and gave no answer that can be used."""


TASK: Final = (
    "Condense the document to at most five plain sentences of at most 30 words each, the most "
    "important first. No headings, no lists, nothing that the document does not say."
)


@frozen
class Question:
    url: str
    model: str
    document: Document


class Ask:
    """Have the model condense one document: a visit for each, so that a failure loses no answer."""

    async def prep(self, shared: Digest) -> Question:
        waiting = [each for each in shared.documents if each.path not in shared.summaries]
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
        # The step's timeout is for everything together.
        async with httpx.AsyncClient(base_url=question.url, timeout=None) as client:  # noqa: S113
            try:
                response = await client.post("chat/completions", json=body, headers=headers)
                return condensed(response.raise_for_status().json())
            except httpx.HTTPStatusError as error:
                raise ModelError(f"the model answered {error.response.status_code}") from None
            except (httpx.HTTPError, ValueError) as error:  # its text may quote the key
                problem = type(error).__name__
                raise ModelError(f"the model gave no answer ({problem})") from None

    async def post(
        self, shared: Digest, question: Question, summary: Texts, *, more: Next, done: Next
    ) -> Next:
        shared.summaries[question.document.path] = summary
        return more if len(shared.summaries) < len(shared.documents) else done


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
    """Find what may stand for each document, and note what led here if it was not the last answer."""
    here = current_step()
    match here.caught:
        case DeadlineExceededError(seconds=seconds):
            digest.trouble = f"the model gave no answer within {seconds:g} s"
        case ModelError() as error:
            digest.trouble = str(error)
        case _:
            digest.trouble = ""
    await here.to_thread(weigh, digest)


def weigh(digest: Digest) -> None:
    documents, candidates = digest.documents, dict[str, Sequence[Merits]]()
    corpus = Corpus.of([each.sentences for each in documents])
    for number, each in enumerate(documents):
        current_step().report(number / len(documents), each.path)
        sources = digest.summaries.get(each.path), each.sentences
        candidates[each.path] = [corpus.merits(it, each.sentences) for it in sources if it]
    digest.candidates = candidates
    digest.key_terms = corpus.key_terms(min(KEY_TERMS, 2 * len(documents)))


# ---------------------------------------------------------------- draft


@step
async def draft(digest: Digest) -> None:
    digest.draft = await current_step().to_thread(drafted, digest)


def drafted(digest: Digest) -> Draft:
    """Choose sentences: four times as many words earn a document twice as many, up to five."""
    brief, chosen, said = digest.brief, dict[str, Texts](), list[Bag]()
    for each in digest.documents:
        number = max(1, min(5, round(math.sqrt(each.words / brief.per_sentence))))
        others = said if brief.distinct else []
        chosen[each.path] = best(each, digest.candidates[each.path], number, brief, others)
        said += map(bag, chosen[each.path])
    return chosen


def best(
    document: Document,
    candidates: Sequence[Merits],
    number: int,
    brief: Brief,
    said: Sequence[Bag],
) -> Texts:
    """Choose sentences of the summary or else the text; if all are too long, the shortest."""
    wanted = {text: 2.0 for text in document.sentences if text in brief.preferred}
    for merits in candidates:
        fine = {t: m for t, m in {**merits, **wanted}.items() if count(t) <= brief.longest}
        if chosen := relevant(fine, number, said):
            return chosen
    by_length = {beginning(text, LONGEST): -count(text) for text in document.sentences}
    return relevant(by_length, 1, said)


# ---------------------------------------------------------------- review


class Review:
    """Measure a draft against all that is demanded of it."""

    async def prep(self, shared: Digest) -> tuple[Draft, int, Texts]:
        return shared.draft, shared.words, shared.key_terms

    async def exec(self, submission: tuple[Draft, int, Texts]) -> tuple[Criterion, ...]:
        return await current_step().to_thread(lambda: tuple(measured(*submission)))

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


def measured(draft: Draft, limit: int, key_terms: Texts) -> Iterator[Criterion]:
    said = [text for chosen in draft.values() for text in chosen]
    bags = [(text, bag(text)) for text in said]

    words = sum(map(count, said))
    excess = (f"{words - limit:,} words too many",) if words > limit else ()
    yield Criterion("length", f"at most {limit:,} words", f"{words:,} words", excess)

    silent = tuple(path for path, chosen in draft.items() if not chosen)
    heard = f"{len(draft) - len(silent)} of {len(draft)}"
    yield Criterion("completeness", "every document", heard, silent)

    most = max(map(count, said), default=0)
    long = tuple(text for text in said if count(text) > LONGEST)
    demand = f"at most {LONGEST} words each"
    yield Criterion("sentences", demand, f"{most} in the longest", long)

    alike = [(overlap(a, b), later) for (_, a), (later, b) in combinations(bags, 2)]
    share = max((share for share, _ in alike), default=0.0)
    twice = tuple(text for share, text in alike if share >= SAME)
    yield Criterion("repetition", f"under {SAME:.0%} of terms in common", f"{share:.0%}", twice)

    unsaid = tuple(term for term in key_terms if not any(term in found for _, found in bags))
    mentioned = len(key_terms) - len(unsaid)
    missed = unsaid if mentioned < COVERED * len(key_terms) else ()
    demand = f"{COVERED:.0%} of key terms"
    yield Criterion("coverage", demand, f"{mentioned} of {len(key_terms)}", missed)


# ---------------------------------------------------------------- revise


@step
async def revise(digest: Digest) -> None:
    """Remedy what the review found; the length last, for all else changes it too."""
    failed = [each for each in digest.criteria if each.faults]
    for each in [each for each in failed if each.name != "length"] or failed:
        change = remedy(digest, each)
        told = f"{each.name}: {each.measured}, asked for {each.demand}; {change}"
        digest.revisions += (told,)


def remedy(digest: Digest, failed: Criterion) -> str:
    """Change what the next draft is made from; say how."""
    brief, faults = digest.brief, failed.faults
    match failed.name:
        case "length" if any(len(chosen) > 1 for chosen in digest.draft.values()):
            brief.per_sentence *= max(length(digest.draft) / digest.words, 1.2) ** 2
            return "long documents got fewer sentences"
        case "length":
            brief.longest = digest.words // len(digest.documents)
            return f"sentences of more than {brief.longest} words gave way"
        case "sentences":
            brief.longest = min(LONGEST, brief.longest)
            return "longer ones gave way"
        case "coverage":
            limit = min(LONGEST, brief.longest)
            texts = (text for each in digest.documents for text in each.sentences)
            fine = (text for text in texts if SHORTEST <= count(text) <= limit)
            fresh = (text for text in fine if text not in brief.preferred)
            brief.preferred += mentioning(faults, fresh)
            return f"sentences with {', '.join(faults)} came first"
        case "repetition":
            brief.distinct = True
            return "what another document says gave way"
        case _:
            silent = dict.fromkeys(faults, "says nothing that others do not say")
            digest.left_out = {**digest.left_out, **silent}
            digest.documents = tuple(d for d in digest.documents if d.path not in silent)
            return f"left out: {', '.join(faults)}"


def length(draft: Draft) -> int:
    return sum(count(text) for chosen in draft.values() for text in chosen)


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
    before, after = sum(each.words for each in digest.documents), length(digest.draft)
    yield f"# Digest of {Path(digest.folder).resolve().name}\n"
    yield f"{len(digest.documents)} documents with {before:,} words, in {after:,} words."
    if digest.model:
        yield f"They are the words of {digest.model_name} where not marked as quoted."
    if digest.trouble:
        yield f"It was not asked to the end: {digest.trouble}."
    yield f"What it is about: {', '.join(digest.key_terms)}.\n"
    yield "| criterion | asked for | measured |\n|---|---|---|"
    for each in digest.criteria:
        yield f"| {each.name} | {each.demand} | {each.measured} |"
    if digest.revisions:
        yield "\nWhat the review changed:\n"
        yield from (f"- {revision}" for revision in digest.revisions)
    for each in digest.documents:
        chosen = digest.draft[each.path]
        own_words = set(chosen) <= set(digest.summaries.get(each.path, ()))
        quoted = ", quoted" if digest.model and not own_words else ""
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
        read.to(by_model=ask, by_quoting=condense),
        ask.to(more=ask, done=condense).catch(ModelError, DeadlineExceededError, to=condense),
        condense.then(edit),
        edit.to(approved=publish, abandoned=abandoned),
        publish.then(published),
    ]
