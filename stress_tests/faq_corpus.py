"""Made-up FAQs with many ways to ask each: enough of them, and enough alike, to measure retrieval on. Deterministic."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

ACTIONS = (
    "cancel", "renew", "upgrade", "downgrade", "transfer", "activate", "block", "replace", "verify", "share",
    "export", "import", "print", "return", "insure", "repair", "track", "schedule", "pause", "resume", "delete",
    "restore", "merge", "split", "rename", "unlock", "freeze", "extend", "shorten", "translate", "archive", "dispute",
    "refund", "report", "register", "configure", "reset", "update", "install", "remove", "calibrate", "clean",
    "connect", "disconnect", "pair", "charge", "order", "collect", "compare", "calculate", "sign", "witness",
    "certify", "appeal", "book", "reschedule", "postpone", "confirm", "forward", "mute", "hide", "publish", "lend",
    "borrow", "deposit", "withdraw", "exchange", "convert", "inherit", "donate", "sell", "rent", "lease", "inspect",
    "measure", "weigh", "label", "pack", "ship", "store", "recycle", "dispose of", "paint", "assemble", "fit", "mount",
    "wire", "heat", "cool", "water", "feed", "vaccinate", "adopt", "train", "enrol in", "graduate from", "apply for",
    "vote for", "sponsor", "advertise", "audit",
)  # fmt: skip
THINGS = (
    "debit card", "subscription", "travel insurance", "parking permit", "library account", "gym membership",
    "mobile plan", "router", "gift voucher", "loyalty points", "student loan", "pension", "rental car", "hotel room",
    "train ticket", "boarding pass", "passport", "driving licence", "birth certificate", "tax return", "water meter",
    "electricity contract", "gas boiler", "solar panel", "washing machine", "coffee machine", "laptop", "printer",
    "phone", "tablet", "smart watch", "headphones", "television", "camera", "drone", "bicycle", "scooter", "helmet",
    "car battery", "winter tyres", "garage", "allotment", "greenhouse", "swimming course", "language course",
    "evening class", "exam", "scholarship", "school place", "nursery place", "bus pass", "season ticket", "museum card",
    "concert ticket", "football season", "fishing licence", "dog licence", "cat", "rabbit", "aquarium", "garden waste",
    "recycling bin", "sofa", "wardrobe", "kitchen", "carpet", "window", "front door", "key", "alarm system",
    "smoke detector", "elevator", "meeting room", "desk", "office chair", "payslip", "holiday request", "sick note",
    "expense claim", "company car", "contract", "invoice", "receipt", "purchase order", "delivery", "parcel", "letter",
    "mailbox", "newsletter", "password", "e-mail address", "user name", "profile picture", "two-factor code",
    "backup", "database", "website", "domain name", "certificate", "licence key",
)  # fmt: skip
OPENINGS = (
    "How do I {} my {}", "How can I {} the {}", "Can I {} a {}", "I want to {} my {}", "Is it possible to {} a {}",
    "What do I need to {} my {}", "Where can I {} the {}", "Please help me {} my {}", "Who can {} my {} for me",
    "What does it cost to {} a {}", "How long does it take to {} a {}", "I am unable to {} my {}",
    "Why can't I {} my {}", "When may I {} the {}", "Do I have to {} my {}", "I tried to {} my {} and it failed",
    "Steps to {} a {}", "Am I allowed to {} somebody else's {}", "I forgot to {} my {}", "It will not let me {} the {}",
)  # fmt: skip
CIRCUMSTANCES = (
    "", " online", " abroad", " at the weekend", " without an account", " for my daughter", " after the deadline",
    " before Friday", " on my phone", " in the app", " a second time", " for a company", " as a student",
    " without a receipt", " by post", " from another country", " today", " at the branch", " after moving house",
    " free of charge", " in another name", " when I am ill", " with a discount", " in cash", " on a public holiday",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MadeFAQ:
    """``phrasings`` begins with the FAQ's own question; ``asked`` are ways to ask it that are not among them."""

    question: str
    answer: str
    phrasings: list[str]
    asked: list[str]


def make_corpus(faqs: int, phrasings: int, *, seed: int = 0) -> Iterator[MadeFAQ]:
    """``faqs`` (at most 9,600) with ``phrasings`` ways to ask each, all different."""
    chosen = random.Random(seed)
    pairs = [(action, thing) for action in ACTIONS for thing in THINGS]
    chosen.shuffle(pairs)
    ways = [(opening, circumstance) for opening in OPENINGS for circumstance in CIRCUMSTANCES]
    for action, thing in pairs[:faqs]:
        texts = [opening.format(action, thing) + end + "?" for opening, end in chosen.sample(ways, phrasings + 1)]
        yield MadeFAQ(
            texts[0], f"To {action} your {thing}, ask at the desk on the ground floor.", texts[:-1], texts[-1:]
        )
