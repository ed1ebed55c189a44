"""What the report measures on the frames shown."""

import numpy as np

from mudar.retarget.report.report import shown_at


def test_a_held_frame_counts_by_its_middle_and_unseen_ones_not() -> None:
    shown = np.array([0.0, 0.1, 0.1, 0.1, 0.2, 0.4])
    np.testing.assert_allclose(shown_at(shown, 10.0, np.array([0.1, 0.2, 0.3])), [0.2, 0.4, 0.45])
    assert np.isnan(shown_at(shown, 10.0, np.array([-1.0, 5.0]))).all()
