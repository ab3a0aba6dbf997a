from halo_report.read.stage_facts import computed_seconds, stage_inputs


def event(type_, time, **fields):
    return {"type": type_, "time": time, **fields}


def test_the_time_of_a_stage_leaves_out_the_time_between_two_attempts():
    events = [
        event("stage-started", 10),
        event("metrics", 25),
        event("stage-started", 100),
        event("stage-ended", 130, status="computed"),
    ]
    assert computed_seconds(events) == 45


def test_the_time_of_a_stage_from_the_store_is_that_of_its_computation():
    events = [
        event("stage-started", 10, cached=True),
        event("metrics", 30, cached=True),
        event("stage-ended", 5000, status="cached"),
    ]
    assert computed_seconds(events) == 20


def test_a_stage_that_never_started_has_no_time():
    assert computed_seconds([event("stage-ended", 5, status="cached")]) is None


def test_inputs_are_found_by_their_roles():
    record = {
        "models": {"student": "sft"},
        "inputs": {"of": "answers", "versus": "others"},
        "roles": {"student": "start", "versus": "rival"},
    }
    assert stage_inputs(record, {}) == {"start": "sft", "judged": "answers", "rival": "others"}
    assert stage_inputs(record, {"versus": "target"})["rival"] == "target"
    assert stage_inputs({}, {}) == {"start": "", "judged": "", "rival": ""}
