"""The ids of licences that the Hugging Face hub knows, for the field `license` of a card.

The hub warns about any other id, and its search by licence does not find the model. A licence
without an id is ``other``, with a name and a link. The list is that of the page "Licenses" in the
hub's documentation, as of 2025.
"""

from __future__ import annotations

from halo_core.errors import did_you_mean

LICENSES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0
    epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl
    gpl gpl-2.0 gpl-3.0 grok2-community h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0
    lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa
    odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl postgresql unknown
    unlicense wtfpl zlib
    """.split()
)


def unknown_license(id_: str) -> str | None:
    """Returns what is wrong with the id of a licence; None if the hub knows it.

    >>> unknown_license("apache-2.0"), unknown_license("Apache 2.0")
    (None, "got 'Apache 2.0'; expected an id of the hub. Did you mean 'apache-2.0'?")
    """
    if id_ in LICENSES:
        return None
    written = "-".join(id_.lower().split())
    near = f" Did you mean {written!r}?" if written in LICENSES else did_you_mean(written, LICENSES)
    return f"got {id_!r}; expected an id of the hub.{near}"


__all__ = ["LICENSES", "unknown_license"]
