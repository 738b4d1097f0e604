//! Memory that is counted: byte queues whose blocks are recycled, and charges for everything else.
//!
//! *Scope:* [`Buffer`], a queue of bytes that is appended to at the back and consumed at the front, or gathered and then taken as a
//! whole, and [`Pool`], which lends buffers their memory, takes it back when they run empty, and knows how much is out; `Charge`,
//! bytes that count towards an `Account` until it is dropped; `KeptText`, a text that waits.
//! *Not in scope:* caps. The code that appends checks the limits first, because only it can answer the peer.
//!
//! ```text
//!            append / write                  consume (some)
//!   empty ──────────────────▶ holding memory ◀──────────────┐
//!     ▲   from the pool             │  └────────────────────┘ shrinks below a quarter of its memory
//!     └─────────────────────────────┘
//!       consume (all) / clear: back to the pool
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory blocks up to this size are kept for the next buffer; larger ones go back to the allocator.
const RECYCLED_BYTES_MAX: usize = 16 << 10;
/// New blocks have room for a 202, or for a small frame, without growing.
const BLOCK_BYTES_MIN: usize = 256;
/// Bytes of memory that wait in the pool: some hundred blocks as a rule, one for each socket of a busy turn.
const POOLED_BYTES_MAX: usize = 1 << 20;

/// What a block of memory takes besides its bytes, in the mean, where many small ones are counted: glibc puts a word before
/// each and rounds it up to two.
pub(crate) const BLOCK_OVERHEAD_BYTES: usize = 16;

/// Longer texts are kept in blocks of this size.
pub(crate) const TEXT_BLOCK_BYTES: usize = 64 << 10;
/// Output that is longer than this in one piece is cut into such blocks.
const WHOLE_BYTES_MAX: usize = 2 * TEXT_BLOCK_BYTES;

/// A block of this size comes from the heap of the thread that asks for it. Smaller ones may come from any: glibc keeps for a thread
/// what it has freed, up to 1032 bytes each, whichever thread's heap that belongs to. A block that grows stays in its heap, and
/// would spread what peers send over the heaps of all threads.
pub(crate) const OWN_HEAP_BYTES: usize = 2 << 10;

/// Returns a vector that may grow large, with room for `capacity` bytes, in this thread's own heap.
fn room_to_grow(capacity: usize) -> Vec<u8> {
    let mut room = Vec::with_capacity(OWN_HEAP_BYTES.max(capacity));
    room.shrink_to(capacity);
    room
}

fn copy_to_grow(bytes: &[u8]) -> Vec<u8> {
    let mut copy = room_to_grow(bytes.len());
    copy.extend_from_slice(bytes);
    copy
}

/// How many bytes its [`Charge`]s hold together. A clone is the same account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account(Arc<AtomicUsize>);

impl Account {
    /// The bytes of all its charges.
    pub(crate) fn bytes(&self) -> usize {
        // Other threads charge for the results of their calls; the loop's thread for all else.
        self.0.load(Ordering::Relaxed)
    }

    /// Counts that many bytes until the charge is dropped.
    pub(crate) fn charge(&self, bytes: usize) -> Charge {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Charge { account: self.clone(), bytes }
    }
}

/// Bytes that count towards an [`Account`]: kept beside what takes them, and returned when that is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Account,
    bytes: usize,
}

impl Charge {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it that many bytes.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.account.0.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else if bytes < self.bytes {
            self.account.0.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Counts that many bytes more.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.set(self.bytes + bytes);
    }

    /// Counts that many bytes less.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes, "what is returned was charged");
        self.set(self.bytes.saturating_sub(bytes));
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Returns the room to reserve behind a text of that length: the few bytes that follow a long one would double its memory.
pub(crate) fn room_behind(len: usize) -> usize {
    if len < TEXT_BLOCK_BYTES { 0 } else { 1 << 10 }
}

/// Cuts a text into pieces of one size, of which the last may be shorter.
fn pieces_of(mut text: Vec<u8>) -> VecDeque<Vec<u8>> {
    let mut pieces = VecDeque::with_capacity(text.len().div_ceil(TEXT_BLOCK_BYTES));
    // From the end, and each is given back at once, so that there are never two copies.
    while text.len() > TEXT_BLOCK_BYTES {
        let rest = (text.len() - 1) / TEXT_BLOCK_BYTES * TEXT_BLOCK_BYTES;
        pieces.push_front(text.split_off(rest));
        text.shrink_to_fit();
    }
    pieces.push_front(text);
    pieces
}

/// A text that is kept for a while. A long one is kept in blocks of one size, so that what one text frees has room for the next.
/// Pieces of very different lengths would leave holes behind that nothing fits in, and the allocator keeps those.
#[cfg(any(feature = "streamable", feature = "stateless"))]
#[derive(Debug)]
pub(crate) enum KeptText {
    Whole(Vec<u8>),
    Blocks(Box<[Box<[u8]>]>),
}

#[cfg(any(feature = "streamable", feature = "stateless"))]
impl KeptText {
    /// Keeps that text, in blocks if it is long.
    pub(crate) fn of(text: Vec<u8>) -> KeptText {
        match text.len() <= TEXT_BLOCK_BYTES {
            true => KeptText::Whole(text),
            false => KeptText::Blocks(pieces_of(text).into_iter().map(Vec::into_boxed_slice).collect()),
        }
    }

    /// Keeps these texts, one behind the other, in blocks if they are long together. No room for all of it in one piece is needed.
    pub(crate) fn joined(parts: [&[u8]; 3]) -> KeptText {
        let mut left = parts.iter().map(|part| part.len()).sum::<usize>();
        if left <= TEXT_BLOCK_BYTES {
            return KeptText::Whole(parts.concat());
        }
        let mut blocks: Vec<Box<[u8]>> = Vec::with_capacity(left.div_ceil(TEXT_BLOCK_BYTES));
        let mut block = Vec::with_capacity(TEXT_BLOCK_BYTES);
        for mut part in parts {
            while let Some((now, rest)) =
                part.split_at_checked(part.len().min(block.capacity() - block.len()))
                && !now.is_empty()
            {
                block.extend_from_slice(now);
                part = rest;
                if block.len() == block.capacity() {
                    left -= block.len();
                    let next = Vec::with_capacity(left.min(TEXT_BLOCK_BYTES));
                    blocks.push(std::mem::replace(&mut block, next).into());
                }
            }
        }
        if !block.is_empty() {
            blocks.push(block.into());
        }
        KeptText::Blocks(blocks.into())
    }

    /// Gives back what a short one has room for besides itself.
    #[cfg(feature = "resume")]
    pub(crate) fn shrink_to_fit(&mut self) {
        if let KeptText::Whole(text) = self {
            text.shrink_to_fit();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces().map(<[u8]>::len).sum()
    }

    /// Calls this with its bytes, piece by piece.
    pub(crate) fn each_piece_mut(&mut self, mut act: impl FnMut(&mut [u8])) {
        match self {
            KeptText::Whole(text) => act(text),
            KeptText::Blocks(blocks) => blocks.iter_mut().for_each(|block| act(block)),
        }
    }

    /// Its bytes, piece by piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (whole, blocks) = match self {
            KeptText::Whole(text) => (Some(text.as_slice()), &[][..]),
            KeptText::Blocks(blocks) => (None, &blocks[..]),
        };
        whole.into_iter().chain(blocks.iter().map(|block| &block[..]))
    }

    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.len() + room_behind(self.len()));
        self.pieces().for_each(|piece| out.extend_from_slice(piece));
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self {
            KeptText::Whole(text) => text,
            KeptText::Blocks(blocks) => blocks.concat(),
        }
    }

    /// Returns the memory that it takes besides itself.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            KeptText::Whole(text) => text.capacity() + BLOCK_OVERHEAD_BYTES,
            KeptText::Blocks(blocks) => {
                let each = size_of::<Box<[u8]>>() + BLOCK_OVERHEAD_BYTES;
                self.len() + blocks.len() * each + BLOCK_OVERHEAD_BYTES
            }
        }
    }
}

/// Lends memory to [`Buffer`]s and counts what they hold.
#[derive(Debug, Default)]
pub struct Pool {
    #[expect(clippy::vec_box, reason = "a block moves between here and a buffer as one word")]
    free: Vec<Box<Block>>,
    free_bytes: usize,
    used: usize,
}

/// Memory that is lent: the queued bytes are those in `full` and then those in `bytes`, all from `start` on.
#[derive(Debug)]
struct Block {
    /// The older part of what is long, in pieces of one size without room for more.
    full: VecDeque<Vec<u8>>,
    full_bytes: usize,
    bytes: Vec<u8>,
    start: usize,
}

impl Block {
    /// The oldest bytes that lie in one piece.
    fn first(&self) -> &[u8] {
        let first = if self.full_bytes > 0 { self.full.front() } else { None };
        first.unwrap_or(&self.bytes).get(self.start..).unwrap_or_default()
    }

    /// Cuts what has become long into pieces.
    fn cut(&mut self) {
        if self.full.is_empty() {
            self.bytes.drain(..std::mem::take(&mut self.start));
        }
        let mut pieces = pieces_of(std::mem::take(&mut self.bytes));
        self.bytes = pieces.pop_back().map_or_else(Vec::new, |last| copy_to_grow(&last));
        self.full_bytes += pieces.len() * TEXT_BLOCK_BYTES;
        self.full.append(&mut pieces);
    }

    /// Copies what is queued into one piece that has no room to spare.
    fn join(&mut self, pool: &mut Pool) {
        let (before, mut start) = (self.capacity(), std::mem::take(&mut self.start));
        let mut whole = room_to_grow(self.len() - start);
        // Each is given back at once.
        for piece in std::mem::take(&mut self.full).into_iter().chain([std::mem::take(&mut self.bytes)]) {
            whole.extend_from_slice(piece.get(std::mem::take(&mut start)..).unwrap_or_default());
        }
        (self.bytes, self.full_bytes) = (whole, 0);
        pool.recount(before, self.capacity());
    }

    fn len(&self) -> usize {
        self.full_bytes + self.bytes.len() - self.start
    }

    fn capacity(&self) -> usize {
        self.full_bytes + self.bytes.capacity()
    }

    /// Returns the capacity that `bytes` has after `count` more bytes, which fit into one block.
    fn gathered(&self, count: usize, total: Option<usize>) -> usize {
        let left = total.map_or(usize::MAX, |total| total.saturating_sub(self.full_bytes));
        let (max, needed) = (left.min(TEXT_BLOCK_BYTES), self.bytes.len().saturating_add(count));
        // A body that has filled a block is likely to fill the next one.
        let capacity = if self.full.is_empty() { self.bytes.capacity() } else { max };
        grown(capacity, needed, Some(max)).max(self.bytes.capacity())
    }
}

/// Returns the capacity of a vector after it has grown for `needed` bytes.
///
/// A vector doubles when it grows; where the `total` is known it grows to no more than that.
pub(crate) fn grown(capacity: usize, needed: usize, total: Option<usize>) -> usize {
    if needed <= capacity {
        return capacity;
    }
    let doubled = needed.max(capacity.saturating_mul(2));
    total.map_or(doubled, |total| doubled.min(total.max(needed)))
}

impl Pool {
    /// Bytes of memory that buffers hold now: what `buffered_bytes_max` bounds.
    pub fn used(&self) -> usize {
        self.used
    }

    fn recount(&mut self, before: usize, after: usize) {
        self.used = self.used - before + after;
    }

    fn take(&mut self) -> Box<Block> {
        let block = match self.free.pop() {
            Some(block) => {
                self.free_bytes -= block.bytes.capacity();
                block
            }
            None => Box::new(Block {
                full: VecDeque::new(),
                full_bytes: 0,
                bytes: room_to_grow(BLOCK_BYTES_MIN),
                start: 0,
            }),
        };
        self.recount(0, block.bytes.capacity());
        block
    }

    fn give(&mut self, mut block: Box<Block>) {
        self.recount(block.capacity(), 0);
        // Only what was long has pieces, and this is done for each message.
        if block.full_bytes > 0 {
            (block.full, block.full_bytes) = (VecDeque::new(), 0);
        }
        let size = block.bytes.capacity();
        if size <= RECYCLED_BYTES_MAX && self.free_bytes + size <= POOLED_BYTES_MAX {
            block.bytes.clear();
            block.start = 0;
            self.free_bytes += size;
            self.free.push(block);
        }
    }
}

/// A queue of bytes: one word, and no memory besides, while it is empty.
///
/// Every method that may change the memory takes the [`Pool`]; a buffer that is dropped without [`Buffer::clear`]
/// stays counted, so each owner clears its buffers in one place.
#[derive(Debug, Default)]
pub struct Buffer(Option<Box<Block>>);

impl Buffer {
    /// Appends what `write` puts at the end of the vector it is given.
    pub fn write<R>(&mut self, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let result = self.write_whole(pool, write);
        if let Some(block) = self.0.as_mut().filter(|block| block.bytes.len() > WHOLE_BYTES_MAX) {
            let before = block.capacity();
            block.cut();
            pool.recount(before, block.capacity());
        }
        result
    }

    /// As [`write`](Buffer::write), but what is queued stays one piece, however long.
    pub(crate) fn write_whole<R>(&mut self, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let block = &mut **self.0.get_or_insert_with(|| pool.take());
        let before = block.capacity();
        if block.full.is_empty() && block.start > block.bytes.len() / 2 {
            block.bytes.drain(..block.start);
            block.start = 0;
        }
        let result = write(&mut block.bytes);
        pool.recount(before, block.capacity());
        result
    }

    /// Appends `bytes`.
    pub fn append(&mut self, pool: &mut Pool, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.write(pool, |out| out.extend_from_slice(bytes));
        }
    }

    /// Appends `data` to what is gathered, unless the pool would then lend more than `used_max`; returns false if it would. What is
    /// gathered is of no use before it is [joined](Buffer::join), so it lies in blocks of one size: what one frees has room for the
    /// next. `total` is how many bytes there will be, if that is known.
    pub(crate) fn gather(
        &mut self,
        pool: &mut Pool,
        mut data: &[u8],
        total: Option<usize>,
        used_max: usize,
    ) -> bool {
        let block = &mut **self.0.get_or_insert_with(|| pool.take());
        loop {
            let room = TEXT_BLOCK_BYTES.saturating_sub(block.bytes.len());
            let (now, rest) = data.split_at_checked(room).unwrap_or((data, b""));
            let (before, after) = (block.bytes.capacity(), block.gathered(now.len(), total));
            if after - before > used_max.saturating_sub(pool.used) {
                return false;
            }
            block.bytes.reserve_exact(after - block.bytes.len());
            block.bytes.extend_from_slice(now);
            if !rest.is_empty() {
                block.bytes.shrink_to_fit();
            }
            pool.recount(before, block.bytes.capacity());
            if rest.is_empty() {
                return true;
            }
            data = rest;
            block.full_bytes += block.bytes.len();
            block.full.push_back(std::mem::take(&mut block.bytes));
        }
    }

    /// Returns how many more bytes of memory it takes to gather `count` bytes.
    pub(crate) fn gather_bytes(&self, count: usize, total: Option<usize>) -> usize {
        let Some(block) = &self.0 else { return 0 };
        // What is longer than a block, such as a long head, becomes a piece of its own.
        let len = block.bytes.len();
        let begun = if len > TEXT_BLOCK_BYTES { len } else { 0 };
        let all = (len - begun).saturating_add(count);
        let left = total.map_or(usize::MAX, |total| total.saturating_sub(block.full_bytes + begun));
        let after = match all <= TEXT_BLOCK_BYTES && begun == 0 {
            true => block.gathered(count, total),
            false => begun + all.next_multiple_of(TEXT_BLOCK_BYTES).min(left.max(all)),
        };
        after.saturating_sub(block.bytes.capacity())
    }

    /// Puts all that is queued into one piece.
    pub(crate) fn join(&mut self, pool: &mut Pool) {
        if let Some(block) = self.0.as_mut().filter(|block| !block.full.is_empty()) {
            block.join(pool);
        }
    }

    /// Removes `count` bytes from the front (all, if there are fewer), and returns memory that is no longer needed.
    pub fn consume(&mut self, pool: &mut Pool, count: usize) {
        let Some(block) = self.0.as_mut().filter(|block| count < block.len()) else {
            return self.clear(pool);
        };
        block.start += count;
        while let Some(first) = block.full.front().filter(|first| first.len() <= block.start) {
            let bytes = first.len();
            block.start -= bytes;
            block.full_bytes -= bytes;
            block.full.pop_front();
            pool.recount(bytes, 0);
        }
        if block.capacity() > RECYCLED_BYTES_MAX && block.len() < block.capacity() / 4 {
            block.join(pool);
        }
    }

    /// Returns memory beyond twice what is queued: a block from the pool may have been made for much more.
    pub fn shrink(&mut self, pool: &mut Pool) {
        if let Some(block) = self.0.as_mut().filter(|block| block.len() < block.capacity() / 2) {
            block.join(pool);
        }
    }

    /// Empties the buffer and returns its memory to the pool.
    pub fn clear(&mut self, pool: &mut Pool) {
        if let Some(block) = self.0.take() {
            pool.give(block);
        }
    }

    /// What is queued, oldest byte first: all of it if it is short or was [joined](Buffer::join), else its first piece.
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |block| block.first())
    }

    /// How many bytes of memory it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.capacity())
    }

    /// How many bytes are queued.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.len())
    }

    /// True if nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_count_until_they_are_dropped() {
        let account = Account::default();
        let (mut one, two) = (account.charge(100), account.clone().charge(7));
        assert_eq!(account.bytes(), 107);
        one.grow(20);
        one.shrink(50);
        assert_eq!((one.bytes(), account.bytes()), (70, 77));
        one.set(3);
        assert_eq!(account.bytes(), 10);
        drop(one);
        assert_eq!(account.bytes(), two.bytes());
        drop(two);
        assert_eq!(account.bytes(), 0);
    }

    #[cfg(any(feature = "streamable", feature = "stateless"))]
    #[test]
    fn a_long_text_is_kept_in_blocks() {
        for len in [0, 1, TEXT_BLOCK_BYTES, TEXT_BLOCK_BYTES + 1, 3 * TEXT_BLOCK_BYTES - 1] {
            let text: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let kept = KeptText::of(text.clone());
            assert!(kept.pieces().all(|piece| piece.len() <= TEXT_BLOCK_BYTES));
            assert_eq!(kept.len(), len);
            assert!(
                (len..len + len / 1000 + 200).contains(&kept.held_bytes()),
                "{len}: {}",
                kept.held_bytes()
            );
            let mut out = b"before".to_vec();
            kept.append_to(&mut out);
            assert_eq!(&out[6..], &text[..]);
            assert_eq!(kept.into_vec(), text);
        }
    }

    #[cfg(any(feature = "streamable", feature = "stateless"))]
    #[test]
    fn texts_are_joined_in_blocks_of_one_size() {
        for len in [0, 1, TEXT_BLOCK_BYTES - 7, TEXT_BLOCK_BYTES, 2 * TEXT_BLOCK_BYTES - 7, 200_000] {
            let text: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let mut kept = KeptText::joined([b"head", &text, b"end"]);
            assert_eq!(kept.len(), len + 7);
            let mut sizes: Vec<usize> = kept.pieces().map(<[u8]>::len).collect();
            assert!(sizes.pop().is_some_and(|last| last <= TEXT_BLOCK_BYTES));
            assert!(sizes.iter().all(|size| *size == TEXT_BLOCK_BYTES), "{len}: {sizes:?}");
            kept.each_piece_mut(|piece| piece.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1)));
            let whole = [b"head", &text[..], b"end"].concat();
            let changed: Vec<u8> = whole.iter().map(|byte| byte.wrapping_add(1)).collect();
            assert_eq!(kept.into_vec(), changed);
        }
    }

    #[test]
    fn a_queue_of_bytes_that_is_counted() {
        let mut pool = Pool::default();
        let mut buffer = Buffer::default();
        buffer.append(&mut pool, b"hello ");
        buffer.append(&mut pool, b"world");
        buffer.consume(&mut pool, 3);
        assert_eq!(buffer.as_slice(), b"lo world");
        buffer.append(&mut pool, b"!");
        buffer.consume(&mut pool, 5);
        assert_eq!((buffer.as_slice(), buffer.len()), (&b"rld!"[..], 4));
        assert_eq!(pool.used(), BLOCK_BYTES_MIN);
        buffer.consume(&mut pool, 100);
        assert!(buffer.is_empty());
        assert_eq!((pool.used(), pool.free.len()), (0, 1));
        assert_eq!(size_of::<Buffer>(), size_of::<usize>());
    }

    /// Bytes that differ from those beside them, also where pieces of 64 KiB meet.
    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn what_is_gathered_lies_in_blocks_of_one_size() {
        for (len, part, known) in
            [(5, 1, true), (64 << 10, 64 << 10, true), (300_000, 7001, false), (300_000, 200_000, true)]
        {
            let (mut pool, mut buffer, whole) = (Pool::default(), Buffer::default(), bytes(len));
            for part in whole.chunks(part) {
                let (used, total) = (pool.used(), known.then_some(len));
                let more = buffer.gather_bytes(part.len(), total);
                assert!(buffer.gather(&mut pool, part, total, usize::MAX));
                assert!(used == 0 || pool.used() - used <= more, "{} of {more}", pool.used() - used);
                assert_eq!(pool.used(), buffer.capacity());
            }
            let block = buffer.0.as_ref().unwrap();
            assert!(
                block
                    .full
                    .iter()
                    .all(|full| (full.len(), full.capacity()) == (TEXT_BLOCK_BYTES, TEXT_BLOCK_BYTES))
            );
            assert!(block.bytes.capacity() <= TEXT_BLOCK_BYTES);
            assert!(!known || pool.used() <= len.max(BLOCK_BYTES_MIN), "{} of {len}", pool.used());
            assert_eq!(buffer.len(), len);
            buffer.join(&mut pool);
            assert_eq!((buffer.as_slice(), pool.used()), (&whole[..], buffer.capacity()));
            buffer.clear(&mut pool);
            assert_eq!(pool.used(), 0);
        }
    }

    /// Also behind a head that is longer than a block, and where there is room for more than will come.
    #[test]
    fn what_gathering_takes_is_known_before() {
        for (begun, room) in [(0, 0), (1 << 16, 0), ((1 << 16) + 1, 0), (70_000, 0), (70_000, 300)] {
            for total in [None, Some(begun + 140_002)] {
                let (mut pool, mut buffer) = (Pool::default(), Buffer::default());
                buffer.write_whole(&mut pool, |out| {
                    out.reserve_exact(begun + room);
                    out.extend_from_slice(&bytes(begun));
                });
                for count in [1, 70_000, 1, 70_000] {
                    let most = pool.used() + buffer.gather_bytes(count, total);
                    assert!(buffer.gather(&mut pool, &bytes(count), total, usize::MAX));
                    assert!(pool.used() <= most, "{begun} {total:?} {count}: {} of {most}", pool.used());
                }
                buffer.clear(&mut pool);
            }
        }
    }

    #[test]
    fn no_more_is_gathered_than_there_is_room_for() {
        let (mut pool, mut buffer) = (Pool::default(), Buffer::default());
        let max = 3 * TEXT_BLOCK_BYTES;
        assert!(buffer.gather(&mut pool, &bytes(max), None, max));
        assert_eq!(pool.used(), max);
        assert!(!buffer.gather(&mut pool, &[1], None, max));
        assert!(buffer.gather(&mut pool, &[1], Some(max + 1), max + 1));
        assert_eq!(pool.used(), max + 1);
        buffer.clear(&mut pool);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn a_long_queue_is_cut_into_blocks_that_are_given_back_one_by_one() {
        let (mut pool, mut buffer, whole) = (Pool::default(), Buffer::default(), bytes(1_000_000));
        for part in whole.chunks(150_000) {
            buffer.append(&mut pool, part);
            buffer.append(&mut pool, b"");
            assert_eq!(pool.used(), buffer.capacity());
        }
        assert!(pool.used() <= whole.len() + 2 * WHOLE_BYTES_MAX, "{}", pool.used());
        assert!(buffer.0.as_ref().unwrap().bytes.capacity() <= 2 * WHOLE_BYTES_MAX);
        let mut got = Vec::new();
        while !buffer.is_empty() {
            assert_eq!(buffer.len(), whole.len() - got.len());
            let piece = buffer.as_slice();
            assert!((1..=WHOLE_BYTES_MAX).contains(&piece.len()));
            // Now and then a part of it.
            let count = if got.len() % 2 == 0 { piece.len().div_ceil(2) } else { piece.len() };
            got.extend_from_slice(&piece[..count]);
            buffer.consume(&mut pool, count);
            assert!(
                pool.used() <= buffer.len() + 2 * WHOLE_BYTES_MAX,
                "{} for {}",
                pool.used(),
                buffer.len()
            );
        }
        assert!(got == whole && pool.used() == 0);
        buffer.append(&mut pool, &whole);
        buffer.consume(&mut pool, TEXT_BLOCK_BYTES + 1);
        buffer.append(&mut pool, &whole);
        buffer.shrink(&mut pool);
        assert_eq!(buffer.len(), 2 * whole.len() - TEXT_BLOCK_BYTES - 1);
        buffer.consume(&mut pool, usize::MAX);
        assert_eq!((buffer.len(), pool.used()), (0, 0));
    }

    #[test]
    fn small_memory_is_recycled_and_large_memory_is_not() {
        let mut pool = Pool::default();
        let mut buffer = Buffer::default();
        buffer.append(&mut pool, &[1; 100]);
        let address = buffer.as_slice().as_ptr();
        buffer.clear(&mut pool);
        buffer.append(&mut pool, &[2; 50]);
        assert_eq!(buffer.as_slice().as_ptr(), address);
        buffer.append(&mut pool, &[2; RECYCLED_BYTES_MAX * 8]);
        buffer.consume(&mut pool, RECYCLED_BYTES_MAX * 15 / 2);
        assert!(pool.used() <= RECYCLED_BYTES_MAX * 2, "shrunk below a quarter: {}", pool.used());
        buffer.append(&mut pool, &[2; RECYCLED_BYTES_MAX * 4]);
        buffer.clear(&mut pool);
        assert_eq!((pool.used(), pool.free.len()), (0, 0));
    }

    #[test]
    fn a_large_block_for_little_can_be_given_back() {
        let mut pool = Pool::default();
        let mut buffer = Buffer::default();
        buffer.append(&mut pool, &[1; 4000]);
        buffer.clear(&mut pool);
        buffer.append(&mut pool, &[2; 100]);
        assert!(pool.used() >= 4000);
        buffer.shrink(&mut pool);
        assert_eq!((buffer.as_slice(), pool.used()), (&[2; 100][..], 100));
        buffer.consume(&mut pool, 100);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = Pool::default();
        let mut buffers: Vec<Buffer> = (0..200).map(|_| Buffer::default()).collect();
        buffers.iter_mut().for_each(|buffer| buffer.append(&mut pool, &[1; RECYCLED_BYTES_MAX]));
        buffers.iter_mut().for_each(|buffer| buffer.clear(&mut pool));
        assert_eq!((pool.free.len(), pool.used()), (POOLED_BYTES_MAX / RECYCLED_BYTES_MAX, 0));
        assert_eq!(pool.free_bytes, POOLED_BYTES_MAX);
    }
}
