"""The state of a page of runs in the form that MLflow 3.17 reads: order, columns and charts.

The form is MLflow's internal one, found in its pages. `halo_mlflow.view.saved_view` says for which
versions it was tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo_core.hashing import short_hash
from halo_mlflow.runs.result_tags import WIN, WIN_LC
from halo_mlflow.store.metric_keys import LENGTH, UPSTREAM, WIN_RATE, WIN_RATE_LC

ANSWER = "Which run won, by how much, and is it length?"
SPECS = "What differs between the specs"
CURVES = "Did they learn?"
WIN_COLUMN, WIN_LC_COLUMN = f"tags.`{WIN}`", f"tags.`{WIN_LC}`"
_NAME, _CREATED, _DURATION = "attributes.`Run Name`", "runDateAndNestInfo", "duration"
_FIRST_CURVES = ("train/loss", "policy/KL")


def page_state(metrics: Sequence[str], parameters: Sequence[str], filter_: str) -> dict[str, Any]:
    """Returns the state of an experiment's page.

    Args:
        metrics: The keys of all metrics of the runs.
        parameters: The parameters that differ between the runs, which become columns. If there are
            none, the table of differences is left out.
        filter_: The runs to show, in MLflow's language.
    """
    rewards = [key for key in metrics if key.startswith("rewards/")]
    curves = [key for key in metrics if key in _FIRST_CURVES]
    charts = [
        _bar(ANSWER, WIN_RATE, "win rate"),
        _bar(ANSWER, WIN_RATE_LC, "win rate, length-controlled"),
        # MLflow would draw axes without a point.
        *([_scatter(ANSWER, LENGTH, WIN_RATE)] if LENGTH in metrics else []),
        *([_difference(SPECS)] if parameters else []),
        *(_line(CURVES, [key], key) for key in curves),
        *([_line(CURVES, rewards, "rewards")] if rewards else []),
    ]
    columns = [WIN_COLUMN, WIN_LC_COLUMN, f"metrics.`{LENGTH}`"]
    columns += [f"params.`{name}`" for name in parameters]
    rest = sorted({key.rpartition("/")[0] for key in metrics}, key=_last_upstream)
    sections = [
        _section(ANSWER, columns=3, height=300),
        *([_section(SPECS, columns=1, height=330)] if parameters else []),
        _section(CURVES, columns=3, height=300),
        *(_section(name, shown=False) for name in rest),
    ]
    return {
        "searchFilter": filter_,
        "orderByKey": f"metrics.`{WIN_RATE}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        # Otherwise MLflow shows tags last, which are then outside of a narrow window.
        "columnOrder": [_NAME, *columns, _CREATED, _DURATION],
        "columnWidths": {
            **dict.fromkeys(columns, 120),
            **{_NAME: 180, WIN_COLUMN: 150, WIN_LC_COLUMN: 150, _CREATED: 120, _DURATION: 80},
        },
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "groupBy": None,
        "groupsExpanded": {},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
    }


def _last_upstream(section: str) -> tuple[bool, str]:
    return section.startswith(f"{UPSTREAM}."), section


def _section(
    name: str, *, shown: bool = True, columns: int = 3, height: int = 300
) -> dict[str, Any]:
    return {
        "uuid": _id(name),
        # MLflow's name of the section of metrics without a slash.
        "name": name or "Model metrics",
        "display": shown,
        "isReordered": False,
        "deleted": False,
        "isGenerated": not shown,
        "columns": columns,
        "cardHeight": height,
    }


def _card(section: str, kind: str, name: str) -> dict[str, Any]:
    return {
        "uuid": _id(f"{section}/{kind}/{name}"),
        "type": kind,
        "runsCountToCompare": 20,
        "metricSectionId": _id(section),
        "deleted": False,
        "isGenerated": False,
        "displayName": name,
    }


def _bar(section: str, key: str, name: str) -> dict[str, Any]:
    return {**_card(section, "BAR", name), "metricKey": key}


def _line(section: str, keys: Sequence[str], name: str) -> dict[str, Any]:
    return {
        **_card(section, "LINE", name),
        "metricKey": keys[0],
        "selectedMetricKeys": list(keys),
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _scatter(section: str, across: str, up: str) -> dict[str, Any]:
    return {
        **_card(section, "SCATTER", "win rate against length"),
        "xaxis": {"key": across, "type": "METRIC"},
        "yaxis": {"key": up, "type": "METRIC"},
    }


def _difference(section: str) -> dict[str, Any]:
    return {
        **_card(section, "DIFFERENCE", section),
        "chartName": section,
        "compareGroups": ["Parameters"],
        "showChangeFromBaseline": False,
        "showDifferencesOnly": True,
        "baselineColumnUuid": "",
    }


def _id(text: str) -> str:
    return f"halo-{short_hash(text)}"
