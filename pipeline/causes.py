"""The error that a person can act on, under whatever wrapped it."""

from collections.abc import Iterator

from configs.errors import PipelineError, StageError


def explain(error: BaseException) -> PipelineError:
    """Find the error that a person can act on.

    Args:
        error: what a runner raised, perhaps wrapped by Beam or TFX.

    Returns:
        The PipelineError in its chain of causes, else a StageError with the innermost message.
    """
    chain = list(_causes(error))
    for each in chain:
        if isinstance(each, PipelineError):
            return each
    innermost = chain[-1]
    text = " ".join(str(innermost).split()) or "no message"
    return StageError(f"{type(innermost).__name__}: {text[:600]}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
