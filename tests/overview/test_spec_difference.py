from halo_core.overview.spec_difference import difference_text, differences, spec_differences


def told(**trees):
    return [difference_text(each) for each in differences(trees)]


def test_equal_trees_do_not_differ():
    tree = {"a": [1, {"b": 2}]}
    assert told(x=tree, y=tree) == []
    assert differences({}) == []


def test_a_path_is_told_with_what_was_and_what_is():
    assert told(x={"loss": {"beta": 0.1}}, y={"loss": {"beta": 0.2}}) == ["loss.beta: 0.1 -> 0.2"]


def test_lists_of_one_length_are_compared_by_place_and_others_as_a_whole():
    assert told(x={"a": [1, 2]}, y={"a": [1, 3]}) == ["a.1: 2 -> 3"]
    assert told(x={"a": [1]}, y={"a": [1, 3]}) == ["a: [1] -> [1, 3]"]


def test_two_components_of_other_names_differ_as_a_whole():
    first, second = {"use": "dpo", "beta": 1}, {"use": "kto", "weight": 2}
    assert told(x={"loss": first}, y={"loss": second}) == ["loss: dpo -> kto"]


def test_what_only_some_have_is_compared_among_them_too():
    trees = {"a": {}, "b": {"s": {"use": "t", "n": 1}}, "c": {"s": {"use": "t", "n": 2}}}
    assert told(**trees) == ["s: none (a), t (b, c)", "s.n: none (a), 1 (b), 2 (c)"]


def test_many_with_one_value_are_counted():
    trees = {name: {"n": 1} for name in "abcd"} | {"e": {"n": True}}
    trees["e"] = {"n": False}
    assert told(**trees) == ["n: 1 (4 of them), false (e)"]


def test_secrets_are_never_told():
    assert told(x={"api_key": "sesame"}, y={"api_key": "open"}) == []
    found = told(x={"uri": "http://ann:sesame@host"}, y={"uri": "http://host"})
    assert found == ["uri: http://***@host -> http://host"]


def test_name_trackers_and_reports_are_no_difference_of_specs():
    first = "name: a\ntracking: [{use: mlflow}]\nreports: []\nseed: 1\n"
    second = "name: b\ntracking: []\nreports: [{use: html}]\nseed: 2\n"
    found = spec_differences({"x": first, "y": second, "gone": ""})
    assert [difference_text(each) for each in found] == ["seed: 1 -> 2"]


def test_a_damaged_spec_costs_its_differences_and_nothing_else():
    trees = {"x": "seed: 1\n", "y": "seed: 2\n", "cut": "seed: [1,\n", "text": "seed\n"}
    assert [difference_text(each) for each in spec_differences(trees)] == ["seed: 1 -> 2"]


def test_runs_with_the_same_component_are_compared_although_another_run_has_another():
    trees = {
        "a": {"loss": {"use": "kto", "beta": 0.1}},
        "b": {"loss": {"use": "dpo", "beta": 0.1}},
        "c": {"loss": {"use": "kto", "beta": 0.5}},
    }
    assert [(each.path, dict(each.values)) for each in differences(trees)] == [
        ("loss", {"a": "kto", "b": "dpo", "c": "kto"}),
        ("loss.beta", {"a": "0.1", "b": "none", "c": "0.5"}),
    ]
