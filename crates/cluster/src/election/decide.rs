//! The decision of one server about one virtual host, as a table (design R1 to R8).
//!
//! Everything that matters is in the [`Question`]; the [`Answer`] says what to do next. No state, no time.

/// What this server has of the virtual host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    /// Nothing.
    Nothing,
    /// It is claimed; its addresses wait for a hook, and are not on their way yet.
    Preparing,
    /// Its addresses are here or on their way.
    Held,
    /// Its addresses are being removed.
    LettingGo,
}

/// Who should hold it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// Nobody.
    Nobody,
    /// This server.
    Me,
    /// Another, that waits for our release.
    Ready,
    /// Another, that has not said yet that it is ready.
    NotReady,
}

/// Everything that matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    pub(crate) hold: Hold,
    pub(crate) target: Target,
    /// A living peer claims it too.
    pub(crate) claimed: bool,
    /// Of several claimants, another one keeps it.
    pub(crate) lost: bool,
    /// The partition policy says: hold nothing.
    pub(crate) isolated: bool,
    /// The partition policy lets us take, and no better newcomer has still to be awaited.
    pub(crate) may_take: bool,
    /// Our peers have heard that we can hold it.
    pub(crate) told: bool,
    /// The last holder is heard, has left, or the wire agrees that it is gone.
    pub(crate) gone: bool,
    /// The wire has been asked about the addresses, or need not be (design R10).
    pub(crate) proven: bool,
    /// No hook is to be waited for any longer.
    pub(crate) prepared: bool,
    /// We may not keep it: on standby, unable, or less healthy than the target.
    pub(crate) must_go: bool,
    /// We have waited long enough for the target to be ready.
    pub(crate) overdue: bool,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Nothing.
    Rest,
    /// Tell the holder that we wait for its release.
    StandReady,
    /// Ask the wire whether somebody has the addresses.
    Prove,
    /// Take it.
    Take,
    /// Ask the kernel for its addresses.
    Proceed,
    /// Keep it a little longer, until the target is ready.
    Linger,
    /// Remove it.
    Release(Why),
}

/// Why it is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// Two claims, and ours is not the one to keep.
    Lost,
    /// The partition policy.
    Isolated,
    /// Nobody should hold it.
    Nobody,
    /// The target takes over.
    Handover,
}

/// The table.
pub(crate) fn decide(question: Question) -> Answer {
    let Question { hold, target, claimed, lost, isolated, may_take, told, gone, proven, prepared, must_go, overdue } =
        question;
    match (hold, target) {
        (Hold::LettingGo, Target::Nobody | Target::Me | Target::Ready | Target::NotReady) => Answer::Rest,

        (Hold::Nothing, Target::Nobody | Target::Ready | Target::NotReady) => Answer::Rest,
        (Hold::Nothing, Target::Me) if claimed => Answer::StandReady,
        (Hold::Nothing, Target::Me) if !may_take || !gone => Answer::Rest,
        (Hold::Nothing, Target::Me) if !proven => Answer::Prove,
        (Hold::Nothing, Target::Me) if !told => Answer::Rest,
        (Hold::Nothing, Target::Me) => Answer::Take,

        // Nothing is here yet, so giving up costs nothing and needs nobody to be ready; and what it takes to begin (design
        // R3) it takes to go on.
        (Hold::Preparing, _) if isolated => Answer::Release(Why::Isolated),
        (Hold::Preparing, _) if lost => Answer::Release(Why::Lost),
        (Hold::Preparing, Target::Me) if prepared && !claimed && may_take && gone => Answer::Proceed,
        (Hold::Preparing, Target::Me) => Answer::Rest,
        (Hold::Preparing, Target::Nobody) => Answer::Release(Why::Nobody),
        (Hold::Preparing, Target::Ready | Target::NotReady) => Answer::Release(Why::Handover),

        (Hold::Held, _) if isolated => Answer::Release(Why::Isolated),
        (Hold::Held, _) if lost => Answer::Release(Why::Lost),
        (Hold::Held, Target::Me) => Answer::Rest,
        (Hold::Held, Target::Nobody) => Answer::Release(Why::Nobody),
        (Hold::Held, Target::Ready) => Answer::Release(Why::Handover),
        (Hold::Held, Target::NotReady) if must_go && overdue => Answer::Release(Why::Handover),
        (Hold::Held, Target::NotReady) if must_go => Answer::Linger,
        (Hold::Held, Target::NotReady) => Answer::Rest,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question() -> impl Strategy<Value = Question> {
        let hold = prop_oneof![Just(Hold::Nothing), Just(Hold::Preparing), Just(Hold::Held), Just(Hold::LettingGo)];
        let target = prop_oneof![Just(Target::Nobody), Just(Target::Me), Just(Target::Ready), Just(Target::NotReady)];
        (hold, target, any::<[bool; 10]>()).prop_map(|(hold, target, flags)| {
            let [claimed, lost, isolated, may_take, told, gone, proven, prepared, must_go, overdue] = flags;
            Question { hold, target, claimed, lost, isolated, may_take, told, gone, proven, prepared, must_go, overdue }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn takes_only_what_nobody_claims_and_the_policy_allows(question in question()) {
            let free = question.target == Target::Me && !question.claimed && question.may_take && question.told && question.gone && question.proven;
            let takes = decide(question) == Answer::Take;
            prop_assert_eq!(takes, free && question.hold == Hold::Nothing);
        }

        #[test]
        fn addresses_that_waited_are_taken_on_the_terms_of_any_other(question in question()) {
            let free = question.target == Target::Me && !question.claimed && question.may_take && question.gone;
            let kept = !question.isolated && !question.lost;
            let proceeds = decide(question) == Answer::Proceed;
            prop_assert_eq!(proceeds, free && kept && question.prepared && question.hold == Hold::Preparing);
            if question.hold == Hold::Preparing && question.target != Target::Me {
                prop_assert!(matches!(decide(question), Answer::Release(_)), "what somebody else should hold is given up");
            }
        }

        #[test]
        fn who_holds_gives_up_only_to_a_ready_target_or_where_it_must(question in question()) {
            if question.hold == Hold::Held && let Answer::Release(_) = decide(question) {
                let forced = question.isolated || question.lost || question.target == Target::Nobody;
                prop_assert!(forced || question.target == Target::Ready || (question.must_go && question.overdue));
            }
        }

        #[test]
        fn who_is_isolated_or_has_lost_keeps_nothing(question in question()) {
            if question.hold == Hold::Held && (question.isolated || question.lost) {
                prop_assert!(matches!(decide(question), Answer::Release(Why::Isolated | Why::Lost)));
            }
        }
    }
}
