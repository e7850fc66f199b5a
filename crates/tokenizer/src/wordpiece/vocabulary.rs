//! The tokens of a vocabulary, in one arena of bytes and one hash table.
//!
//! The table is open-addressing with linear probing. Its hash takes a byte at a time and can take the last byte back,
//! so that finding the longest token that a word begins with hashes the word once and then only peels bytes off.

/// Where in a word a token may stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// At the beginning.
    Initial,
    /// Anywhere else: its text in the file has the prefix `##`, which is left out here.
    Continuing,
}

/// Tokens, found by their bytes.
#[derive(Clone)]
pub(super) struct Vocabulary {
    arena: Vec<u8>,
    /// As many as a power of two, a third of them empty at least.
    slots: Vec<Slot>,
    /// The most bytes of a token, by place.
    longest: [usize; 2],
    /// How many tokens the file has.
    len: usize,
}

/// 16 bytes, so that a search that fails reads a cache line and one that succeeds reads two.
#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    /// Into the arena.
    offset: u32,
    id: u32,
    len: u16,
    place: Option<Place>,
}

/// Where a whole token's text is, prefix included.
#[derive(Clone, Copy)]
pub(super) struct TokenText {
    pub(super) id: u32,
    /// Into the arena.
    offset: u32,
    len: u16,
}

const EMPTY: Slot = Slot { hash: 0, offset: 0, id: 0, len: 0, place: None };

/// More than a natural vocabulary comes near to: BERT's needs 33 at most and 1.6 on average.
const MAX_PROBES: usize = 512;

/// Tokens as a file lists them.
#[derive(Default)]
pub(super) struct TokenList {
    arena: Vec<u8>,
    tokens: Vec<Token>,
}

struct Token {
    start: u32,
    end: u32,
    id: u32,
}

impl TokenList {
    /// Appends a token, with the id 0; `None` if there are more bytes than 32 bits count.
    pub(super) fn push(&mut self, text: &str) -> Option<()> {
        let start = u32::try_from(self.arena.len()).ok()?;
        self.arena.extend_from_slice(text.as_bytes());
        self.tokens.push(Token { start, end: u32::try_from(self.arena.len()).ok()?, id: 0 });
        Some(())
    }

    /// The id of the token pushed last.
    pub(super) fn set_last_id(&mut self, id: u32) {
        if let Some(last) = self.tokens.last_mut() {
            last.id = id;
        }
    }

    /// The tokens' texts, prefixes included.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| {
            let bytes = &self.arena[token.start as usize..token.end as usize];
            // They were pushed as such.
            std::str::from_utf8(bytes).unwrap_or_default()
        })
    }
}

impl Vocabulary {
    /// `None` if a token occurs twice or is longer than `max_bytes`, or if the tokens were chosen so that the table
    /// would be slow.
    pub(super) fn new(list: TokenList, prefix: &str, max_bytes: usize) -> Option<Vocabulary> {
        let TokenList { arena, tokens } = list;
        let continuation = |token: &Token| {
            let text = &arena[token.start as usize..token.end as usize];
            text.strip_prefix(prefix.as_bytes()).filter(|rest| !rest.is_empty()).map(<[u8]>::len)
        };
        let entries = tokens.len() + tokens.iter().filter(|t| continuation(t).is_some()).count();
        let slots = vec![EMPTY; (entries + entries / 2 + 1).next_power_of_two()];
        let mut vocabulary = Vocabulary { arena: Vec::new(), slots, longest: [0; 2], len: tokens.len() };
        for token in &tokens {
            let len = (token.end - token.start) as usize;
            if len > max_bytes {
                return None;
            }
            vocabulary.insert(&arena, Place::Initial, token, len)?;
            if let Some(len) = continuation(token) {
                vocabulary.insert(&arena, Place::Continuing, token, len)?;
            }
        }
        vocabulary.arena = arena;
        Some(vocabulary)
    }

    /// The last `len` bytes of a token.
    fn insert(&mut self, arena: &[u8], place: Place, token: &Token, len: usize) -> Option<()> {
        let text = &arena[token.end as usize - len..token.end as usize];
        let hash = text.iter().fold(Hash::of(place), |hash, &byte| hash.push(byte)).finish();
        let mask = self.slots.len() - 1;
        let index = (hash as usize..).take(MAX_PROBES).map(|i| i & mask).find_map(|index| {
            let slot = &self.slots[index];
            match slot.place {
                None => Some(Some(index)),
                Some(_) if slot.is(hash, place, text, arena) => Some(None),
                Some(_) => None,
            }
        })??;
        let offset = token.end - u32::try_from(len).ok()?;
        let slot = Slot { hash, offset, id: token.id, len: u16::try_from(len).ok()?, place: Some(place) };
        self.slots[index] = slot;
        let longest = &mut self.longest[place as usize];
        *longest = len.max(*longest);
        Some(())
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The id of a whole token, prefix included.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        let hash = token.bytes().fold(Hash::of(Place::Initial), Hash::push);
        self.get(hash, Place::Initial, token.as_bytes())
    }

    /// All tokens in the order of their ids, those that have the same in that of the file.
    pub(super) fn by_id(&self) -> Vec<TokenText> {
        let whole = self.slots.iter().filter(|slot| slot.place == Some(Place::Initial));
        let text = |&Slot { id, offset, len, .. }: &Slot| TokenText { id, offset, len };
        let mut texts: Vec<TokenText> = whole.map(text).collect();
        texts.sort_unstable_by_key(|text| (text.id, text.offset));
        texts
    }

    pub(super) fn text(&self, TokenText { offset, len, .. }: TokenText) -> &str {
        // They were pushed as such.
        std::str::from_utf8(&self.arena[offset as usize..][..usize::from(len)]).unwrap_or_default()
    }

    /// The longest token that a text (UTF-8) begins with: its length in bytes, and its id.
    #[inline]
    pub(super) fn longest_match(&self, place: Place, text: &[u8]) -> Option<(usize, u32)> {
        let mut candidate = &text[..text.len().min(self.longest[place as usize])];
        let mut hash = candidate.iter().fold(Hash::of(place), |hash, &byte| hash.push(byte));
        while let [shorter @ .., last] = candidate {
            if let Some(id) = self.get(hash, place, candidate) {
                return Some((candidate.len(), id));
            }
            hash = hash.pop(*last);
            candidate = shorter;
        }
        None
    }

    #[inline]
    fn get(&self, hash: Hash, place: Place, text: &[u8]) -> Option<u32> {
        let hash = hash.finish();
        let mask = self.slots.len() - 1;
        // Ends: a slot is empty.
        let mut index = hash as usize & mask;
        loop {
            let slot = &self.slots[index];
            slot.place?;
            if slot.is(hash, place, text, &self.arena) {
                return Some(slot.id);
            }
            index = (index + 1) & mask;
        }
    }
}

impl Slot {
    #[inline]
    fn is(&self, hash: u32, place: Place, text: &[u8], arena: &[u8]) -> bool {
        self.hash == hash
            && self.place == Some(place)
            && usize::from(self.len) == text.len()
            && arena[self.offset as usize..][..text.len()] == *text
    }
}

/// As FNV-1a, with a multiplier whose bits are spread: after the multiplication, the high half depends on all bytes.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
    const INVERSE: u64 = inverse(Hash::MULTIPLIER);

    fn of(place: Place) -> Hash {
        match place {
            Place::Initial => Hash(0x243F_6A88_85A3_08D3),
            Place::Continuing => Hash(0x1319_8A2E_0370_7344),
        }
    }

    #[inline]
    fn push(self, byte: u8) -> Hash {
        Hash((self.0 ^ u64::from(byte)).wrapping_mul(Hash::MULTIPLIER))
    }

    /// Before `push(byte)`.
    #[inline]
    fn pop(self, byte: u8) -> Hash {
        Hash(self.0.wrapping_mul(Hash::INVERSE) ^ u64::from(byte))
    }

    #[inline]
    fn finish(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Of an odd number modulo 2^64, by Newton's iteration: each step doubles the right bits, of which `odd` itself has 3.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut step = 0;
    while step < 5 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        step += 1;
    }
    x
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn vocabulary(tokens: &[&str], prefix: &str, max_bytes: usize) -> Option<Vocabulary> {
        let mut list = TokenList::default();
        for (token, id) in tokens.iter().zip(0..) {
            list.push(token).unwrap();
            list.set_last_id(id);
        }
        Vocabulary::new(list, prefix, max_bytes)
    }

    #[test]
    fn a_byte_can_be_taken_back() {
        let hash = Hash::of(Place::Initial);
        for byte in 0..=255 {
            assert_eq!(hash.push(7).push(byte).pop(byte).0, hash.push(7).0);
            assert_ne!(hash.push(byte).pop(byte ^ 1).0, hash.0);
        }
    }

    /// All words of up to 6 letters over "abé", against a search through a map.
    #[test]
    fn the_longest_match_is_the_longest() {
        let mut words = vec![String::new()];
        let mut start = 0;
        for _ in 0..6 {
            let end = words.len();
            for i in start..end {
                words.extend(["a", "b", "é"].map(|letter| format!("{}{letter}", words[i])));
            }
            start = end;
        }
        // Whatever is a multiple of 5 or 7 in that order, as a beginning or as something to go on with.
        let chosen = words.iter().enumerate().skip(1);
        let tokens: Vec<String> = chosen
            .filter(|(i, _)| i % 5 == 0 || i % 7 == 0)
            .map(|(i, word)| if i % 5 == 0 { word.clone() } else { format!("##{word}") })
            .collect();
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let ids: HashMap<&str, u32> = tokens.iter().copied().zip(0..).collect();
        let vocabulary = vocabulary(&tokens, "##", 100).unwrap();
        assert_eq!((vocabulary.len(), words.len()), (ids.len(), 1_093));
        let mut found = [0; 2];
        for word in &words {
            assert_eq!(vocabulary.id(word), ids.get(word.as_str()).copied(), "{word}");
            for (place, prefix) in [(Place::Initial, ""), (Place::Continuing, "##")] {
                let ends = (1..=word.len()).rev().filter(|&end| word.is_char_boundary(end));
                let expected = ends
                    .filter_map(|end| Some((end, *ids.get(format!("{prefix}{}", &word[..end]).as_str())?)))
                    .next();
                assert_eq!(vocabulary.longest_match(place, word.as_bytes()), expected, "{place:?} {word}");
                found[place as usize] += usize::from(expected.is_some());
            }
        }
        assert!(found.iter().all(|&n| n > 500), "{found:?}");
    }

    #[test]
    fn a_prefix_alone_continues_nothing_and_an_empty_one_everything() {
        let hashes = vocabulary(&["##", "#", "a"], "##", 10).unwrap();
        assert_eq!(hashes.longest_match(Place::Initial, b"###"), Some((2, 0)));
        assert_eq!(hashes.longest_match(Place::Continuing, b"a"), None);
        let bare = vocabulary(&["a", "ab"], "", 10).unwrap();
        for place in [Place::Initial, Place::Continuing] {
            assert_eq!(bare.longest_match(place, b"abc"), Some((2, 1)));
        }
        assert_eq!(vocabulary(&[], "##", 10).unwrap().longest_match(Place::Initial, b"a"), None);
    }

    #[test]
    fn what_is_not_taken() {
        assert!(vocabulary(&["a", "b"], "##", 1).is_some());
        assert!(vocabulary(&["a", "b", "a"], "##", 1).is_none());
        assert!(vocabulary(&["a", "bc"], "##", 1).is_none());
    }

    /// Tokens whose hashes begin their search in the same place of a table for as many.
    #[test]
    fn tokens_chosen_to_be_slow_are_not_taken() {
        let all = (0..).map(|i: u32| format!("{i:x}"));
        let at = |token: &String| token.bytes().fold(Hash::of(Place::Initial), Hash::push).finish() % 1024;
        let chosen: Vec<String> = all.filter(|token| at(token) == 0).take(MAX_PROBES + 1).collect();
        let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
        assert!(vocabulary(&chosen, "##", 100).is_none());
        assert!(vocabulary(&chosen[1..], "##", 100).is_some());
    }
}
