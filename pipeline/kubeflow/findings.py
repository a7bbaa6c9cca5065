"""What the linter says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something in a compiled pipeline that would not work.

    Attributes:
        rule: name of the rule, such as C4.
        where: task, executor or field.
        problem: what is there, and what Kubeflow would do.
        fix: what to do about it.
    """

    rule: str
    where: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}: {self.problem}. {self.fix}."
