"""`halo_report.statistics` is the old name of the library halo-statistics."""

import halo_report.statistics
import halo_statistics


def test_the_names_of_the_library_are_importable_from_where_they_were():
    assert halo_report.statistics.__all__ == halo_statistics.__all__
    for name in halo_statistics.__all__:
        assert getattr(halo_report.statistics, name) is getattr(halo_statistics, name)
