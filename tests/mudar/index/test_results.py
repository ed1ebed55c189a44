"""Results of one request are a list that also names its items."""

from __future__ import annotations

from mudar.index.results import SearchHit, SearchResults


def test_results_are_a_list_and_name_their_items() -> None:
    plain = [SearchHit(f"dance-{n}", 1.0 - n, 0.5, 0.5, 0.0, 4.0) for n in range(3)]
    results = SearchResults(plain)
    assert results == plain
    assert results.item_ids == ["dance-0", "dance-1", "dance-2"]
    assert results[1:] == plain[1:]
    assert not SearchResults()
