"""How many epochs fit: always in time, and no fewer than would have."""

from hypothesis import given
from hypothesis import strategies as st

from hauberk.harden.pace import Pace
from hauberk.harden.training import Schedule

MOST = 60
SECONDS = st.floats(0.1, 10.0)
SCHEDULE = Schedule(epochs=MOST, batch_size=1, learning_rate=1.0)


def spent(pace: Pace, now: list[float], epoch: float, measuring: float) -> int:
    """Run a training whose epochs and measurements take so long; how many epochs it had."""
    done, epochs = 0, pace.begun(MOST, SCHEDULE.measured)
    while done < epochs:
        done += 1
        now[0] += epoch
        epochs = pace.trained(done, MOST, SCHEDULE.measured)
        if SCHEDULE.measured(done, epochs):
            now[0] += measuring
            epochs = pace.measured(done, MOST, SCHEDULE.measured)
    return done


@given(SECONDS, SECONDS, SECONDS, st.floats(1.0, 400.0))
def test_a_steady_training_fills_its_time_whatever_was_believed(
    epoch: float, measuring: float, believed: float, until: float
) -> None:
    now = [0.0]
    pace = Pace(clock=lambda: now[0], until=until, epoch=believed, measuring=measuring)
    done = spent(pace, now, epoch, measuring)
    assert pace.fitting == done
    assert now[0] <= until + 1e-6 or done == 1
    assert done == MOST or now[0] + epoch + 2 * measuring > until


@given(SECONDS, SECONDS, SECONDS, st.floats(1.0, 400.0))
def test_only_the_first_measurement_can_be_late(
    epoch: float, measuring: float, guess: float, until: float
) -> None:
    now = [0.0]
    pace = Pace(clock=lambda: now[0], until=until, epoch=epoch, measuring=guess)
    done = spent(pace, now, epoch, measuring)
    assert now[0] <= until + max(0.0, measuring - guess) + 1e-6 or done == 1


def test_an_epoch_that_takes_longer_costs_later_ones() -> None:
    now = [0.0]
    pace = Pace(clock=lambda: now[0], until=20.0, epoch=1.0, measuring=0.0)
    assert pace.begun(MOST, SCHEDULE.measured) == 20
    now[0] += 4.0
    assert pace.trained(1, MOST, SCHEDULE.measured) == 5
    now[0] += 1.0  # the mean is 2.5 now, and 15 seconds are left
    assert pace.trained(2, MOST, SCHEDULE.measured) == 8


def test_one_epoch_is_always_trained_and_a_late_training_ends_at_once() -> None:
    now = [5.0]
    pace = Pace(clock=lambda: now[0], until=1.0, epoch=1.0, measuring=1.0)
    assert pace.begun(MOST, SCHEDULE.measured) == 1
    assert pace.trained(1, MOST, SCHEDULE.measured) == 1
