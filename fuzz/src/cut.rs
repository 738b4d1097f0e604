//! Ways to cut an input into pieces, and a source of chance that is the same everywhere.

/// xorshift64*: the same sequence on every machine.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A seed from the input itself, so that a crash is the same when it is run again.
    pub fn of(data: &[u8]) -> Dice {
        Dice::new(data.iter().fold(data.len() as u64, |hash, byte| hash.rotate_left(5) ^ u64::from(*byte)))
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }

    /// Cuts into pieces of at most `most` bytes.
    pub fn pieces<'a>(&mut self, mut bytes: &'a [u8], most: usize) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at((1 + self.roll(most)).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

/// Byte by byte; in two, everywhere if the input is short and at a few places if it is long; and twice by chance.
pub fn ways(data: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut dice = Dice::of(data);
    let mut all = vec![data.chunks(1).collect(), dice.pieces(data, 3), dice.pieces(data, 40)];
    let places: Vec<usize> = match data.len() {
        0..=48 => (1..data.len()).collect(),
        len => (0..8).map(|_| 1 + dice.roll(len - 1)).collect(),
    };
    all.extend(places.into_iter().map(|at| vec![&data[..at], &data[at..]]));
    all
}
