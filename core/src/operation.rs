//! The operations of a storage by name: the one list that engine and face share.

macro_rules! operations {
    ($($variant:ident $name:literal $id:literal,)*) => {
        /// What can be asked of a storage.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operation {
            $($variant,)*
        }

        impl Operation {
            /// All of them; a face calls one by its place here.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its public name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The public name of its first argument, where that is an id.
            #[must_use]
            pub fn id_name(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }
        }
    };
}

operations! {
    CreateSession "createSession" "userId",
    GetSession "getSession" "sessionId",
    UpdateSession "updateSession" "sessionId",
    DeleteSession "deleteSession" "sessionId",
    ListSessions "listSessions" "userId",
    TouchSession "touchSession" "sessionId",
    CreateChain "createChain" "sessionId",
    GetChain "getChain" "chainId",
    UpdateChain "updateChain" "chainId",
    DeleteChain "deleteChain" "chainId",
    ListChains "listChains" "sessionId",
    CreateStep "createStep" "chainId",
    GetStep "getStep" "stepId",
    UpdateStep "updateStep" "stepId",
    DeleteStep "deleteStep" "stepId",
    ListSteps "listSteps" "chainId",
    AppendEvent "appendEvent" "sessionId",
    Events "events" "",
}
