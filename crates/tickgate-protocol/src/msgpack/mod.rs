//! The MessagePack encoding: data frames are arrays, commands and replies are maps.

pub(crate) mod entries;
pub(crate) mod frames;
mod put;
mod take;
pub(crate) mod tree;
