//! A record's fields.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::key::Name;

/// So many fields are searched one by one: most records have one or a few, and a map would take room for more.
const FEW: usize = 8;
/// How many fields' room there may be for each field that is left.
const ROOMY: usize = 4;

/// Texts by their names.
#[derive(Debug)]
pub(super) enum FieldMap {
    /// At most [`FEW`], in no order.
    Few(Vec<(Name, Arc<str>)>),
    Many(HashMap<Name, Arc<str>>),
}

impl Default for FieldMap {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl FieldMap {
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Few(list) => list.is_empty(),
            Self::Many(map) => map.is_empty(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        match self {
            Self::Few(list) => list.iter().find(|(known, _)| known == name).map(|(_, text)| text),
            Self::Many(map) => map.get(name),
        }
    }

    pub fn insert(&mut self, name: Name, text: Arc<str>) {
        match self {
            Self::Many(map) => drop(map.insert(name, text)),
            Self::Few(list) => {
                if let Some((_, place)) = list.iter_mut().find(|(known, _)| *known == name) {
                    *place = text;
                } else if list.len() == FEW {
                    *self = Self::Many(std::mem::take(list).into_iter().chain([(name, text)]).collect());
                } else {
                    // Doubled by hand: a list's own first room is for four.
                    if list.len() == list.capacity() {
                        list.reserve_exact(list.len().max(1));
                    }
                    list.push((name, text));
                }
            }
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<(Name, Arc<str>)> {
        match self {
            Self::Few(list) => {
                let place = list.iter().position(|(known, _)| known == name)?;
                Some(list.swap_remove(place))
            }
            Self::Many(map) => map.remove_entry(name),
        }
    }

    /// Gives back the room of fields that have gone, once most have.
    pub fn give_room_back(&mut self) {
        match self {
            Self::Few(list) if list.capacity() > ROOMY * list.len() => list.shrink_to_fit(),
            Self::Many(map) if map.len() <= FEW / 2 => *self = Self::Few(map.drain().collect()),
            Self::Many(map) if map.capacity() > ROOMY * map.len() => map.shrink_to_fit(),
            _ => {}
        }
    }

    pub fn names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = match self {
            Self::Few(list) => list.iter().map(|(name, _)| name.clone()).collect(),
            Self::Many(map) => map.keys().cloned().collect(),
        };
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{FEW, FieldMap};
    use crate::key::Name;

    #[test]
    fn few_and_many_are_the_same_from_outside() {
        let (mut fields, mut model) = (FieldMap::default(), BTreeMap::new());
        let mut state = 1_u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let mut kinds = [false; 2];
        for turn in 0..20_000_u32 {
            // It grows far beyond a few and shrinks to nothing again.
            let growing = turn / 500 % 2 == 0;
            let name = Name::from(format!("p{}", next(4 * FEW as u32)));
            if (next(4) > 0) == growing {
                fields.insert(name.clone(), turn.to_string().into());
                model.insert(name.clone(), turn.to_string());
            } else {
                let removed = fields.remove(&name).map(|(_, text)| text.to_string());
                assert_eq!(removed, model.remove(&name));
                fields.give_room_back();
            }
            assert_eq!(fields.get(&name).map(|text| text.to_string()), model.get(&name).cloned());
            assert_eq!(fields.names(), model.keys().cloned().collect::<Vec<_>>());
            assert_eq!(fields.is_empty(), model.is_empty());
            kinds[usize::from(matches!(fields, FieldMap::Many(_)))] = true;
        }
        assert_eq!(kinds, [true; 2]);
    }

    #[test]
    fn one_field_takes_the_room_of_one() {
        let mut fields = FieldMap::default();
        fields.insert("s".into(), "text".into());
        assert!(matches!(&fields, FieldMap::Few(list) if list.capacity() == 1));
    }
}
