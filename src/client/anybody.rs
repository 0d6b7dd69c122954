//! Which of the addresses that a client knows is asked when any broker will do: the first, until a connection has ended; then the next.
//!
//! Invariants: whoever answers well is asked again, because whoever gives addresses may have put the best first; and it is one step a question,
//! so that no rhythm of connections that end leads to the same broker for ever.
//!
//! Deliberately not here: the addresses, and the connections (`cluster/dial.rs` over TCP, `cluster/sim/dial.rs` in the simulated world).

/// Where a client is in its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anybody {
    place: usize,
    /// A connection has ended since anybody was asked.
    is_doubtful: bool,
}

impl Anybody {
    /// A connection has ended, whichever.
    pub fn connection_ended(&mut self) {
        self.is_doubtful = true;
    }

    /// Anybody is asked: the place of the address, of so many; 0 if there is none.
    pub fn ask(&mut self, addresses: usize) -> usize {
        if std::mem::take(&mut self.is_doubtful) {
            self.place = self.place.wrapping_add(1);
        }
        self.place % addresses.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_answers_well_is_asked_again_and_after_an_end_the_next_one() {
        let mut anybody = Anybody::default();
        assert_eq!([anybody.ask(3), anybody.ask(3)], [0, 0]);
        anybody.connection_ended();
        anybody.connection_ended();
        assert_eq!(
            [anybody.ask(3), anybody.ask(3)],
            [1, 1],
            "one step a question, however many connections have ended"
        );
        anybody.connection_ended();
        assert_eq!(anybody.ask(3), 2);
        anybody.connection_ended();
        assert_eq!(anybody.ask(3), 0);
        assert_eq!(anybody.ask(0), 0);
    }
}
