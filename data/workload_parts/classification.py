"""Support tickets and product reviews, to be given one label."""

from __future__ import annotations

from typing import Any

from workload_parts.common import PRODUCTS, Item, date

TICKETS = {
    "billing": (
        "My card was charged {amount} twice on {date} for the same {product}. Please return one of the payments.",
        "The invoice for order {order} shows VAT although we gave you our exemption number in writing.",
        "I cancelled my plan on {date}, yet {amount} was taken from my account this morning.",
        "Could you explain the line 'service adjustment {amount}' on my statement? Nobody here knows what it is.",
        "Your discount code was accepted at checkout for order {order}, but the full price was debited.",
        "We paid order {order} by bank transfer a week ago and still get reminders that {amount} is outstanding.",
        "Please change the company name on the invoice for order {order}; accounting refuses to book it as it is.",
        "Why did the monthly fee go up to {amount} without any notice? I never agreed to that.",
    ),
    "shipping": (
        "Order {order} was promised for {date} and the tracking page has not moved since.",
        "The parcel with the {product} was left in the rain and the carton fell apart before I got home.",
        "According to the courier, order {order} was handed to a neighbour, but none of them has it.",
        "You sent one {product} and the delivery note lists three. Where are the other two?",
        "Can order {order} still go to our other warehouse? The driver would find the gate here locked on {date}.",
        "The tracking number in your mail about the {product} belongs to a parcel in another country.",
        "It is {date} now and the {product} is still at the customs office. What papers do they need from you?",
        "I need order {order} split: half to the shop, half to my home address, before the van leaves.",
    ),
    "technical": (
        "After the update from {date} the app closes as soon as I open the settings page.",
        "The {product} pairs with my phone, then drops the connection about every four minutes.",
        "Your API answers with error 502 whenever I export more than {order} rows.",
        "The search field ignores everything after an umlaut; searching for 'Grün' finds 'Gr'.",
        "Since {date} the dashboard shows all times one hour early, on every browser I tried.",
        "The firmware installer for the {product} stops at 87 percent and says 'checksum mismatch'.",
        "Uploading a photo of the {product} turns it upside down, but only from an Android tablet.",
        "The nightly sync has written each contact twice since {date}. How do I stop that without losing data?",
    ),
    "account": (
        "I changed my phone and can no longer get past the two-factor step. My backup codes are gone too.",
        "Please remove the user of our former colleague, who left on {date}, and move his projects to me.",
        "My e-mail address ends in the old domain and the reset link goes there. How do I replace it?",
        "I would like every piece of personal data you hold on me deleted, as the law allows.",
        "We have two workspaces since {date}; can their members be merged under one login?",
        "I am locked out after mistyping my password, and the thirty minutes are long over.",
        "How do I make our new trainee an editor without letting her see the salaries folder?",
        "Someone signed in to my profile from a city I have never been to on {date}. Please close all sessions.",
    ),
    "feature_request": (
        "It would help a lot if orders like {order} could be repeated with one click.",
        "Have you thought about a dark theme? I use the planner at night and it is blinding.",
        "Please let us sort the stock list by shelf; with the {product} alone we have nine variants.",
        "A calendar feed of delivery dates would save us the spreadsheet we keep next to your app.",
        "Could the weekly report also come as a CSV file? We would like to load it into our own tools.",
        "I wish I could add a note to the {product} in my basket, so that colleagues know what it is for.",
        "Is there a plan to offer the mobile app in Portuguese? Half of our team would switch at once.",
        "An undo button after archiving a project would be wonderful. Just a suggestion.",
    ),
}
TICKET_SYSTEM = (
    "You sort support tickets. Answer with exactly one of these labels and nothing else: "
    + ", ".join(TICKETS)
    + "."
)

REVIEWS = {
    "positive": (
        "I have used the {product} every day since {date} and would buy it again without a second thought.",
        "Bought the {product} as a present; my sister called the same evening to say how much she loves it.",
        "Expected little at this price, but the {product} outlasts the expensive one it replaced.",
        "The {product} arrived a day early and works even better than the description promises.",
        "Setting up the {product} took two minutes. Finally something that simply does its job.",
        "Not a single complaint after months of rough use. The {product} is a small masterpiece.",
        "I was ready to send the {product} back, then support sent a spare part for free. Brilliant service, great thing.",
    ),
    "negative": (
        "The {product} broke on the second day, and the replacement broke on the third.",
        "I wanted to like the {product}, but it smells of solvent even after weeks on the balcony.",
        "Looks nothing like the picture. The {product} went straight back, and I am still waiting for my money.",
        "Save yourself the trouble: the {product} wobbles, scratches, and the manual is a joke.",
        "For that price I expected more than thin plastic. Very disappointed with this {product}.",
        "Great idea, terrible execution. My {product} has been in its box since {date}.",
        "Oh wonderful, a {product} that needs repairing before its first use. Never again.",
    ),
    "neutral": (
        "The {product} was delivered on {date}. I have not opened the parcel yet.",
        "It is a {product}. It does what such a thing does, no more and no less.",
        "The {product} is fine for guests; for daily use I keep my old one.",
        "Some parts of the {product} are good, others are not; on balance I have no strong opinion.",
        "Does the {product} come with a cable? The page does not say, so I give it a middling rating for now.",
        "I compared the {product} with two others, and they were all about the same.",
        "Second purchase of the {product}. The colour is slightly different from the first, which does not matter to me.",
    ),
}
REVIEW_SYSTEM = (
    "Judge the sentiment of a product review. Answer with one word: positive, negative or neutral."
)


def tickets(rng: Any, count: int) -> list[Item]:
    return _labelled(rng, count, "classify::ticket", TICKETS, TICKET_SYSTEM, _ticket)


def reviews(rng: Any, count: int) -> list[Item]:
    return _labelled(rng, count, "classify::sentiment", REVIEWS, REVIEW_SYSTEM, _review)


def _labelled(
    rng: Any, count: int, task_type: str, texts: dict[str, tuple[str, ...]], system: str, write: Any
) -> list[Item]:
    """Labels in turn, and every text of a label before any of them again."""
    labels = list(texts)
    items = []
    for number in range(count):
        label = labels[number % len(labels)]
        text = texts[label][number // len(labels) % len(texts[label])]
        items.append(Item(task_type, write(rng, text), label, "label", 16, system, {"labels": labels}))
    return items


def _fill(rng: Any, text: str) -> str:
    return text.format(
        product=PRODUCTS[rng.choice(sorted(PRODUCTS))][0],
        date=date(rng)[0],
        amount=f"{rng.randint(9, 480)}.{rng.randint(0, 99):02d} {rng.choice(('EUR', 'GBP', 'CHF'))}",
        order=rng.randint(10_000, 99_999),
    )


def _ticket(rng: Any, text: str) -> str:
    greeting = rng.choice(("Hello,", "Hi,", "Good afternoon,", "Dear team,", "To support:"))
    closing = rng.choice(
        (
            "Thank you for your help.",
            f"My customer number is {rng.randint(100_000, 999_999)}.",
            "I have been a customer for years and this is the first time I write.",
            "Please answer by mail, I cannot take calls at work.",
            "Kind regards",
        )
    )
    return f"{greeting}\n{_fill(rng, text)}\n{closing} (ticket {rng.randint(100_000, 999_999)})"


def _review(rng: Any, text: str) -> str:
    return f"{_fill(rng, text)} (Verified purchase, {date(rng)[0]})"
