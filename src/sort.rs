//! Sorting of what is small or seldom sorted.
//!
//! *Scope:* one compiled copy of the standard library's algorithm for all types. The standard library compiles some 7 KiB of
//! machine code for each type and order that is sorted. *Not in scope:* sorting that has to be fast.

use std::cmp::Ordering;

/// Sorts. Equal items stay in their order.
pub(crate) fn sort_by<T>(items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let compare_at = |one: usize, other: usize| match (items.get(one), items.get(other)) {
        (Some(one), Some(other)) => compare(one, other),
        _ => Ordering::Equal,
    };
    let order = sorted_places(items.len(), &compare_at);
    let mut unsorted: Vec<Option<T>> = items.drain(..).map(Some).collect();
    items.extend(order.into_iter().filter_map(|place| unsorted.get_mut(place)?.take()));
}

fn sorted_places(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|one, other| compare(*one, *other));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_items_stay_in_their_order() {
        for count in [0, 1, 2, 19, 20, 21, 300] {
            let mut items: Vec<(usize, String)> =
                (0..count).map(|at| (at * 7919 % 11, at.to_string())).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|(number, _)| *number);
            sort_by(&mut items, |(one, _), (other, _)| one.cmp(other));
            assert_eq!(items, expected);
        }
    }

    #[test]
    fn items_are_sorted_as_the_standard_library_sorts_them() {
        let mut items: Vec<String> = (0..500).map(|at| (at * 7919 % 501).to_string()).collect();
        let mut expected = items.clone();
        expected.sort();
        sort_by(&mut items, Ord::cmp);
        assert_eq!(items, expected);
    }
}
