"""Analysis of records: measures on arrays and on loaded logs, with units, sources and closed-form checks.

Everything loads on first use. Some measures need SciPy, ruptures or powerlaw, which the extra ``analysis``
installs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chronoflux.analysis.complexity import detrended_fluctuation, lempel_ziv, permutation_entropy
    from chronoflux.analysis.criticality import (
        avalanches,
        change_points,
        early_warnings,
        power_law_tail,
        variance_and_lag1,
    )
    from chronoflux.analysis.information import (
        active_storage_nats,
        mutual_information_nats,
        transfer_entropy_by_shift_nats,
        transfer_entropy_nats,
    )
    from chronoflux.analysis.integration import emergence_nats, o_information_nats, phi_r_nats, phi_wms_nats
    from chronoflux.analysis.lead_lag import spread
    from chronoflux.analysis.pulling import pulls
    from chronoflux.analysis.response import dose_response, epoch_response, recovery_time, superposed_epochs
    from chronoflux.analysis.result import Result
    from chronoflux.analysis.room_events import event_dose_response, event_epochs, spreads
    from chronoflux.analysis.rooms import (
        each_node,
        information_flow,
        locked,
        pair_matrix,
        pairs,
        times_to_sync,
    )
    from chronoflux.analysis.significance import (
        assess,
        false_discovery,
        maximum_statistic,
        null_band,
        p_value,
    )
    from chronoflux.analysis.stationarity import stationary_part
    from chronoflux.analysis.surrogates import (
        autoregressions,
        block_shuffles,
        circular_shifts,
        event_shuffles,
        iaaft,
    )
    from chronoflux.analysis.synchrony import (
        chimera_index,
        frequency_difference,
        local_order,
        locked_intervals,
        metastability,
        order_parameter,
        phase_lag_index,
        phase_locking,
        phase_locking_value,
        time_to_sync,
        weighted_phase_lag_index,
    )
    from chronoflux.analysis.tables import gaps, side_by_side, together
    from chronoflux.replay.null_runs import null_runs

_ROOMS = {
    "significance": ("assess", "false_discovery", "maximum_statistic", "null_band", "p_value"),
    "complexity": ("detrended_fluctuation", "lempel_ziv", "permutation_entropy"),
    "criticality": ("avalanches", "change_points", "early_warnings", "power_law_tail", "variance_and_lag1"),
    "information": (
        *("active_storage_nats", "mutual_information_nats", "transfer_entropy_nats"),
        "transfer_entropy_by_shift_nats",
    ),
    "integration": ("emergence_nats", "o_information_nats", "phi_r_nats", "phi_wms_nats"),
    "pulling": ("pulls",),
    "response": ("dose_response", "epoch_response", "recovery_time", "superposed_epochs"),
    "result": ("Result",),
    "room_events": ("event_dose_response", "event_epochs", "spreads"),
    "rooms": ("each_node", "information_flow", "locked", "pair_matrix", "pairs", "times_to_sync"),
    "lead_lag": ("spread",),
    "stationarity": ("stationary_part",),
    "surrogates": ("autoregressions", "block_shuffles", "circular_shifts", "event_shuffles", "iaaft"),
    "synchrony": (
        *("chimera_index", "frequency_difference", "local_order", "locked_intervals", "metastability"),
        *("order_parameter", "phase_lag_index", "phase_locking", "phase_locking_value", "time_to_sync"),
        "weighted_phase_lag_index",
    ),
    "tables": ("gaps", "side_by_side", "together"),
    "chronoflux.replay.null_runs": ("null_runs",),
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "plots":
        return import_module("chronoflux.analysis.plots")
    if name not in _HOMES:
        raise AttributeError(f"module 'chronoflux.analysis' has no attribute {name!r}")
    home = _HOMES[name]
    module = import_module(home if home.startswith("chronoflux.") else f"chronoflux.analysis.{home}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "Result",
    "active_storage_nats",
    "assess",
    "autoregressions",
    "avalanches",
    "block_shuffles",
    "change_points",
    "chimera_index",
    "circular_shifts",
    "detrended_fluctuation",
    "dose_response",
    "each_node",
    "early_warnings",
    "emergence_nats",
    "epoch_response",
    "event_dose_response",
    "event_epochs",
    "event_shuffles",
    "false_discovery",
    "frequency_difference",
    "gaps",
    "iaaft",
    "information_flow",
    "lempel_ziv",
    "local_order",
    "locked",
    "locked_intervals",
    "maximum_statistic",
    "metastability",
    "mutual_information_nats",
    "null_band",
    "null_runs",
    "o_information_nats",
    "order_parameter",
    "p_value",
    "pair_matrix",
    "pairs",
    "permutation_entropy",
    "phase_lag_index",
    "phase_locking",
    "phase_locking_value",
    "phi_r_nats",
    "phi_wms_nats",
    "plots",
    "power_law_tail",
    "pulls",
    "recovery_time",
    "side_by_side",
    "spread",
    "spreads",
    "stationary_part",
    "superposed_epochs",
    "time_to_sync",
    "times_to_sync",
    "together",
    "transfer_entropy_by_shift_nats",
    "transfer_entropy_nats",
    "variance_and_lag1",
    "weighted_phase_lag_index",
]
