"""Reports of thousands of trials stay small, and say what they leave out."""

from tunebook.executors.simulated import SimulatedExecutor
from tunebook.jobs import search_of
from tunebook.playbook import Base, Round
from tunebook.report import render_html
from tunebook.report.base import Fold, Items, Table, walk
from tunebook.report.sample import some
from tunebook.report.story import Story
from tunebook.report.study import SHOWN_ROWS, study_report
from tunebook.space import Choice, Float, Int, Space
from tunebook.stores.memory import MemoryStore
from tunebook.study import Study
from tunebook.trial import Goal, Measurement

GOAL = Goal("loss")
SPACE = Space(a=Float(0.0, 1.0), b=Float(1e-5, 1.0, log=True), c=Int(1, 64), k=Choice(["x", "y"]), d=Float(0.0, 1.0))


def objective(run):
    for step in range(1, run.until + 1):
        yield Measurement(step, {"loss": run.config["a"] + 1 / step}, seconds=1.0)


def story_of(folder, n):
    round = Round("explore", "?", SPACE, GOAL, 3, n)
    with Study(MemoryStore(), folder, SimulatedExecutor(objective, 4)) as study:
        trials = study.run(search_of(round, 0), n)
    base = Base(SPACE, SPACE.default, GOAL, 3, n, baseline=SPACE.default, final=False)
    return Story("many", GOAL, base, trials, (), finished=False)


def test_a_report_of_many_trials_is_small_and_shows_the_best(tmp_path):
    story = story_of(tmp_path, 1500)
    report = study_report(story)
    page = render_html(report)
    assert len(page) < 1_000_000
    assert f"Shown are {SHOWN_ROWS} of 1,500 trials, the best among them; tunebook export gives all." in page
    fold = next(b for b in report.blocks if isinstance(b, Fold) and b.title == "All trials")
    table = next(b for b in walk(fold.blocks) if isinstance(b, Table))
    best = min(story.trials.values(), key=lambda t: t.loss(GOAL))
    assert [table.rows[i][0] for i in table.marked] == [best.number] and len(table.rows) == SHOWN_ROWS


def test_what_was_seen_in_the_data_is_a_list_of_its_own(tmp_path):
    story = story_of(tmp_path, 4)
    assert not any(isinstance(b, Items) for b in study_report(story).blocks)
    story.trials.notes["job"] = {"data": "csv:t.csv", "notes": ["column 'a' is empty: left out"]}
    blocks = study_report(story).blocks
    told = [b for b in blocks if isinstance(b, Items)]
    assert [item.spans[0].text for item in told[0].items] == ["column 'a' is empty: left out"]
    assert "notes" not in [row[0] for b in blocks if isinstance(b, Table) for row in b.rows]


def test_a_report_of_few_leaves_nothing_out(tmp_path):
    page = render_html(study_report(story_of(tmp_path, 40)))
    assert "Shown are" not in page


def test_some_are_the_best_and_an_even_part_of_the_others(tmp_path):
    trials = list(story_of(tmp_path, 100).trials.values())
    told = some(trials, GOAL, 20)
    numbers = [t.number for t in told]
    assert len(told) == 20 and numbers == sorted(numbers)
    assert {t.number for t in sorted(trials, key=lambda t: t.loss(GOAL))[:10]} <= set(numbers)
    assert some(trials, GOAL, 100) == trials and len(some(trials, GOAL, 99)) == 99
