"""What a fuzzing run has tried, and what it found."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from schemathesis.engine import Status


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which a check failed, as it was seen first. ``curl`` repeats it."""

    check: str
    operation: str
    title: str
    answer: str
    caller: str
    message: str
    curl: str


@dataclass(slots=True)
class Report:
    """Counts of requests and checks, and the findings, each once."""

    seconds: float = 0.0
    by_operation: Counter[str] = field(default_factory=Counter)
    by_caller: Counter[str] = field(default_factory=Counter)
    by_phase: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    by_check: Counter[str] = field(default_factory=Counter)
    waited_s: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    findings: dict[tuple[str, str, str, str], Finding] = field(default_factory=dict)
    seen: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def cases(self) -> int:
        """How many requests were answered."""
        return self.by_operation.total()

    def add(self, caller: str, phase: str, recorder: Any) -> None:
        """Count what one scenario did."""
        for case_id, interaction in recorder.interactions.items():
            case = recorder.cases[case_id].value
            self.by_operation[case.operation.label] += 1
            self.by_caller[caller] += 1
            self.by_phase[phase] += 1
            self.by_status[interaction.response.status_code if interaction.response else 0] += 1
            self.waited_s[case.operation.label] += interaction.response.elapsed if interaction.response else 0
        self.left_out += sum(recorder.filtered_failures.values())
        for case_id, checks in recorder.checks.items():
            for check in checks:
                self.by_check[check.name] += 1
                if check.status == Status.FAILURE:
                    answer = _told(recorder.find_response(case_id=check.failure_info.failure.case_id or case_id))
                    self._find(caller, recorder.cases[case_id].value.operation.label, check, answer)

    def _find(self, caller: str, operation: str, check: Any, answer: str) -> None:
        failure = check.failure_info.failure
        key = (check.name, operation, failure.title, answer)
        self.seen[key] += 1
        if key not in self.findings:
            self.findings[key] = Finding(*key, caller, failure.message, check.failure_info.code_sample)

    def add_error(self, caller: str, event: Any) -> None:
        """Count something that kept requests from being made at all."""
        said = event.info.format() if hasattr(event, "info") else repr(event.exception)
        self.errors[f"{getattr(event, 'label', 'engine')}, as {caller}: {said[:300]} … {said[-300:]}"] += 1

    def text(self) -> str:
        """All of it, to be read."""
        lines = [f"{self.cases} requests in {self.seconds:.0f} s; {self.left_out} failures left out by rule"]
        for title, counts in (
            ("operation", self.by_operation),
            ("caller", self.by_caller),
            ("phase", self.by_phase),
            ("status", self.by_status),
            ("check", self.by_check),
        ):
            lines += ["", f"by {title}"]
            lines += [f"  {count:7} {name}" for name, count in sorted(counts.items(), key=lambda each: str(each[0]))]
        slowest = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.waited_s.most_common(5))
        lines += ["", f"waited longest for {slowest}"]
        for key, finding in self.findings.items():
            head = f"{finding.check}: {finding.title}; {finding.operation}, as {finding.caller}, {self.seen[key]} times"
            lines += ["", head, f"answered {finding.answer}", *finding.message.splitlines(), finding.curl]
        lines += ["", *(f"error, {count} times: {said}" for said, count in self.errors.items())]
        lines.append(f"{len(self.findings)} findings, {len(self.errors)} errors")
        return "\n".join(lines)

    def as_json(self) -> str:
        """The counts and findings, for programs."""
        counts = {
            name: {str(key): value for key, value in getattr(self, name).items()}
            for name in ("by_operation", "by_caller", "by_phase", "by_status", "by_check", "waited_s")
        }
        findings = [
            {name: getattr(finding, name) for name in Finding.__slots__} | {"times": self.seen[key]}
            for key, finding in self.findings.items()
        ]
        whole = {"cases": self.cases, "seconds": round(self.seconds), **counts, "findings": findings}
        return json.dumps({**whole, "errors": dict(self.errors)}, indent=1, ensure_ascii=False) + "\n"


def _told(response: Any) -> str:
    """Status and code of an answer, and the fields that it found wrong."""
    if response is None:
        return "nothing"
    try:
        body = json.loads(response.content)
        if isinstance(body.get("error"), dict):
            return f"{response.status_code} {body['error']['code']} {body['error']['param'] or ''}".strip()
        return f"{response.status_code} {body.get('code', '')} {','.join(body.get('fields', {}))}".strip()
    except (ValueError, AttributeError):
        return str(response.status_code)
