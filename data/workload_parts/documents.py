"""Long reports, over 9,500 tokens each, with a question about one fact near their start or middle.

A server that cuts a prompt to 8k keeps its end, where the question stands, and loses the fact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workload_parts.common import CITIES, COMPANIES, FIRST, LAST, MONTHS, Item
from workload_parts.document_facts import FACTS

SYSTEM = "You read long reports and answer questions about them in a few words, from the report alone."
MIN_WORDS = 7_600


@dataclass(frozen=True)
class Kind:
    """One kind of report: a title, what its sections are about, and the sentences they are made of."""

    title: str
    headings: tuple[str, ...]
    sentences: tuple[str, ...]


OPERATIONS = Kind(
    "Annual operations report of {company}",
    (
        "Site {city}",
        "Fleet at {city}",
        "Warehouse {city}, {month}",
        "Staffing in {city}",
        "Suppliers around {city}",
    ),
    (
        "The {city} site handled {n} pallets in {month}, {p} percent more than a year before.",
        "Overtime came to {n} hours, most of it in the week when two forklifts were out of service.",
        "{person} took over the early shift and changed the order in which lorries are unloaded.",
        "Damaged goods made up {p} percent of all returns; wet cartons were the usual reason.",
        "A lorry covered {n} kilometres on average, and fuel cost {m} thousand euros.",
        "The lease of the second hall runs until {month}; the landlord has asked for {p} percent more rent.",
        "{company} delivered late on {q} occasions and was charged the agreed penalty each time.",
        "Counting the stock took {q} nights and found a difference of {n} pieces.",
        "The new racks hold {n} boxes, though the upper rows stay empty until the lift is repaired.",
        "Sick leave stood at {p} percent, with a peak in {month}.",
        "Electricity use fell by {p} percent after the lights in the cold store were replaced.",
        "{person} trained {q} temporary workers, of whom about half have asked to stay.",
        "Drivers reported {q} near misses at the northern gate, where the mirror has since been moved.",
        "Customers in {city} rated punctuality at {p} out of a hundred.",
        "An average order held {q} lines; orders from pharmacies were the smallest.",
        "The packing machine ran {n} hours without a fault before its belt tore in {month}.",
    ),
)
INCIDENT = Kind(
    "Review of the outages at {company}",
    (
        "Outage of {month} {q}",
        "Findings, team {city}",
        "Timeline, part {q}",
        "Interview with {person}",
        "Effects in {city}",
    ),
    (
        "At {q}:{mm} the queue held {n} messages and grew by about {p} every second.",
        "{person} restarted the worker in {city}, which helped for {q} minutes.",
        "The alarm had been muted since {month} because it fired {n} times in a single weekend.",
        "Of {n} requests sampled, {p} percent carried a token that had already expired.",
        "Nobody was sure who owned the script, which was last changed by {person} in {month}.",
        "A second look at the graphs showed that latency had doubled {q} days earlier.",
        "The vendor, {company}, answered after {n} minutes and asked for log files.",
        "Rolling back took {q} attempts, since the older image had been deleted from the registry.",
        "Support received {n} mails and answered {p} of them within the hour.",
        "The failover to {city} worked, but its cache was cold and response times rose to {n} milliseconds.",
        "{person} noted that the runbook describes a menu that no longer exists.",
        "Disk usage on host {q} stood at {p} percent and was not the reason.",
        "The test environment has {q} nodes and never reaches the load of a Monday morning.",
        "During the call {n} lines were typed in the incident channel, and two decisions were overlooked among them.",
        "The limit of {n} connections dates from the first year and had never been reviewed.",
        "A repeat of the test in {month} needed {n} seconds where {q} were expected.",
    ),
)
MINUTES = Kind(
    "Minutes of the council of {city}, collected",
    (
        "Session in {month}",
        "Committee on roads, {month}",
        "Petitions, no. {n}",
        "Questions by {person}",
        "Schools and sports",
    ),
    (
        "{person} asked why the bridge at the mill has been closed since {month}.",
        "The repair of {q} streets is to cost {m} thousand euros, of which the county pays {p} percent.",
        "A petition with {n} signatures demands a crossing in front of the primary school.",
        "The swimming hall counted {n} visitors; on weekdays half of the lanes were empty.",
        "{person} and {person} declared an interest and left the room for this item.",
        "The library will open on {q} Sundays as a trial.",
        "Noise at the depot of {company} was measured on {q} nights and kept within the limit.",
        "The council took note of the report with {q} votes against.",
        "Planting {n} trees along the ring road is delayed until {month}, as the ground is too dry.",
        "Rents in the old town rose by {p} percent, according to the housing office.",
        "The fire brigade was called out {n} times, {q} of them for cats.",
        "A resident offered to look after the fountain for another {q} years.",
        "Bus line {q} carries {n} passengers a day and is often late between the station and the hospital.",
        "The tender for school meals was won by {company} at {p} cents below the present price.",
        "{person} recalled that the same question had been put in {month} and left unanswered.",
        "The item was adjourned until the figures from {city} are available.",
    ),
)
RESEARCH = Kind(
    "Field notebook of the river survey near {city}",
    (
        "Station {q}, {month}",
        "Sampling at {city}",
        "Laboratory, batch {n}",
        "Observations by {person}",
        "Calibration",
    ),
    (
        "Station {q} gave {n} specimens, {p} percent of them juvenile.",
        "The water stood at {p} centimetres on the gauge and was clear to the bottom.",
        "{person} repeated the count and found {q} more than in the morning.",
        "Conductivity was {n} microsiemens; the probe drifted and was cleaned twice.",
        "A heron disturbed the second net, so its catch is left out of the table.",
        "Upstream of the weir the bed is gravel, with stones of about {p} millimetres.",
        "Batch {n} was frozen within {q} hours and sent to {company} for analysis.",
        "After {q} days of rain in {month} the path to the lower bank could not be used.",
        "The nitrate value of {p} is plausible, as the fields were manured in {month}.",
        "Two bottles broke on the way to {city}; their labels are {n} and {q}.",
        "Oxygen fell by {p} percent between dusk and dawn.",
        "{person} drew the meander by hand, since the drone was grounded by the wind.",
        "The camera took {n} pictures, of which {q} show an otter.",
        "Sediment reached a depth of {p} millimetres in the traps near the footbridge.",
        "Fishermen from {city} told us of {q} large trout that we have not seen ourselves.",
        "The thermometer agreed with the reference to within {q} tenths of a degree.",
    ),
)
CONTRACT = Kind(
    "Framework agreement between {company} and its service partners, with schedules",
    (
        "Schedule {q}: {city}",
        "Services in {city}",
        "Clause {n}",
        "Reports and meetings, {month}",
        "Persons responsible",
    ),
    (
        "The partner cleans {n} square metres in {city}, on {q} days a week.",
        "Spare parts worth less than {n} euros are included in the monthly fee.",
        "Faults of class {q} are to be attended to within {p} hours of notice.",
        "{person} is named as the contact in {city}; changes are given in writing.",
        "Prices follow the index published each {month}, but rise by no more than {p} percent a year.",
        "Keys number {q} to {n} are handed over against signature and may not be copied.",
        "The partner keeps records for {p} months and shows them on request.",
        "Work on public holidays is paid at {n} percent of the hourly rate.",
        "A report is due on the {q}th of each month and has no more than {p} pages.",
        "Subcontractors need consent, except {company}, which is known to both parties.",
        "Lifts are inspected {q} times a year, the one in the tower also each {month}.",
        "Where a fault recurs within {p} days, the second visit is free of charge.",
        "The premises in {city} may be entered from {q} o'clock and are left tidy.",
        "Waste is separated into {q} fractions; oil is returned to {company}.",
        "Disputes below {n} euros are first put to {person}, who decides within {p} days.",
        "Insurance covers {m} thousand euros for each event and is proved every {month}.",
    ),
)
CLINIC = Kind(
    "Quality report of the {city} polyclinic",
    (
        "Ward {q}",
        "Outpatients, {month}",
        "Laboratory and pharmacy",
        "Comments by {person}",
        "Visits from {city}",
    ),
    (
        "Ward {q} had {n} admissions, and a patient stayed {p} hours on average.",
        "Waiting time at the desk fell to {p} minutes after {person} changed the appointment grid.",
        "The pharmacy checked {n} prescriptions and queried {q} of them.",
        "Hand hygiene was observed on {n} occasions and was correct in {p} percent.",
        "A new scanner from {company} was installed in {month} and examined {n} patients since.",
        "{q} falls were recorded, none with serious consequences.",
        "Nurses asked for a second medication trolley; {person} has ordered {q}.",
        "Patients from {city} make up {p} percent and often come by the early train.",
        "The laboratory returned {p} percent of results within the hour.",
        "Of {n} questionnaires handed out in {month}, {p} percent came back.",
        "The kitchen served {n} meals, with {q} complaints about lukewarm soup.",
        "Interpreters were booked {n} times, most often for conversations before surgery.",
        "A drill in {month} showed that {q} of the emergency phones were out of order.",
        "{person} compared our figures with those of the clinic in {city} and saw no clear difference.",
        "The blood bank held {n} units and discarded {q}.",
        "Parking remains the commonest subject of letters: {n} this year.",
    ),
)
KINDS = (OPERATIONS, INCIDENT, MINUTES, RESEARCH, CONTRACT, CLINIC)


def reports(rng: Any, count: int) -> list[Item]:
    return [_report(rng, number) for number in range(count)]


def _report(rng: Any, number: int) -> Item:
    kind = KINDS[number % len(KINDS)]
    fact = FACTS[number % len(FACTS)]
    values = {
        "person": f"{rng.choice(FIRST)} {rng.choice(LAST)}",
        "amount": f"{rng.randint(2, 98)}.{rng.randint(1, 9)} million euros",
        "place": rng.choice(("Aldergate", "Brackwater", "Corrymoor", "Dunhollow", "Eskmere", "Fernleigh")),
        "code": f"{rng.choice('QXZVK')}{rng.choice('QXZVK')}-{rng.randint(1000, 9999)}",
        "days": rng.randint(101, 399),
        "ship": rng.choice(("Perseverance", "Halcyon", "Stella Maris", "Wayfarer", "Nordlys", "Albatros")),
    }
    sections = _sections(rng, kind)
    # Odd numbers hide the fact in the middle, even ones near the start.
    place = len(sections) // 2 if number // len(KINDS) % 2 else 1
    heading, body = sections[place]
    sections[place] = (heading, f"{body} {fact.statement.format(**values)}")
    title = _fill(rng, kind.title)
    text = "\n\n".join(f"{at}. {heading}\n{body}" for at, (heading, body) in enumerate(sections, 1))
    prompt = f"{title}\n\n{text}\n\nEnd of the report.\n\nQuestion: {fact.question.format(**values)} Answer in a few words."
    return Item("summarize::long", prompt, fact.answer.format(**values), "text", 60, SYSTEM)


def _sections(rng: Any, kind: Kind) -> list[tuple[str, str]]:
    sections: list[tuple[str, str]] = []
    words = 0
    while words < MIN_WORDS:
        chosen = rng.sample(kind.sentences, rng.randint(7, 11))
        body = " ".join(_fill(rng, sentence) for sentence in chosen)
        sections.append((_fill(rng, rng.choice(kind.headings)), body))
        words += len(body.split())
    return sections


def _fill(rng: Any, sentence: str) -> str:
    return sentence.format(
        city=rng.choice(CITIES),
        company=rng.choice(COMPANIES),
        month=rng.choice(MONTHS),
        person=f"{rng.choice(FIRST)} {rng.choice(LAST)}",
        n=rng.randint(120, 9_800),
        m=rng.randint(14, 890),
        p=rng.randint(4, 58),
        q=rng.randint(2, 19),
        mm=rng.randint(10, 59),
    )
