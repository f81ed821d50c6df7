//! What the command line and the admin API keep in the store: the same tables as in the configuration file, as JSON.

use crate::base::error::{Error, Kind, Result};
use crate::config::file::{Config, Customer, Key, Team};
use crate::config::words;
use crate::store::{Connection, objects};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// A kind of object that may be kept in the store. Its name there, and in the configuration file, is unique.
pub trait Stored: Serialize + DeserializeOwned + Default + Clone {
    /// What it is called, in the store and in words.
    const KIND: &'static str;
    /// Its table in the configuration file.
    const TABLE: &'static str;

    /// The object of this name in the configuration file.
    fn written<'a>(config: &'a Config, name: &str) -> Option<&'a Self>;

    /// What stands in for one that does not read: it allows nothing.
    fn closed() -> Self;

    /// The object as its text in the store says.
    ///
    /// # Errors
    /// `Kind::Config` where it does not read.
    fn read(name: &str, body: &str) -> Result<Self> {
        serde_json::from_str(body).map_err(|error| {
            let what = format!("{} `{}` does not read: {error}", Self::KIND, words::visible(name));
            Error::new(Kind::Config, what)
        })
    }
}

impl Stored for Customer {
    const KIND: &'static str = "customer";
    const TABLE: &'static str = "customers";

    fn written<'a>(config: &'a Config, name: &str) -> Option<&'a Self> {
        config.customers.get(name)
    }

    fn closed() -> Self {
        Self { allow: Some(Vec::new()), prompts: Some(Vec::new()), resources: Some(Vec::new()), ..Self::default() }
    }
}

impl Stored for Team {
    const KIND: &'static str = "team";
    const TABLE: &'static str = "teams";

    fn written<'a>(config: &'a Config, name: &str) -> Option<&'a Self> {
        config.teams.get(name)
    }

    fn closed() -> Self {
        Self { allow: Some(Vec::new()), prompts: Some(Vec::new()), resources: Some(Vec::new()), ..Self::default() }
    }
}

impl Stored for Key {
    const KIND: &'static str = "key";
    const TABLE: &'static str = "keys";

    fn written<'a>(config: &'a Config, name: &str) -> Option<&'a Self> {
        config.keys.iter().find(|key| key.id == name)
    }

    fn closed() -> Self {
        Self { revoked: true, ..Self::default() }
    }
}

/// The stored objects beside the keys, of which there are too many to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// The store's file, as findings show it.
    pub place: String,
    /// Customers by name.
    pub customers: BTreeMap<String, Customer>,
    /// Teams by name.
    pub teams: BTreeMap<String, Team>,
    /// What did not read and is closed: its kind and why.
    pub unread: Vec<(&'static str, Error)>,
}

impl Objects {
    /// Reads them all.
    ///
    /// # Errors
    /// As the store says. One object that does not read is closed instead.
    pub fn read(store: &Connection, place: String) -> Result<Self> {
        let mut unread = Vec::new();
        let (customers, teams) = (each(store, &mut unread)?, each(store, &mut unread)?);
        Ok(Self { place, customers, teams, unread })
    }
}

fn each<T: Stored>(store: &Connection, unread: &mut Vec<(&'static str, Error)>) -> Result<BTreeMap<String, T>> {
    let mut out = BTreeMap::new();
    objects::scan(store, T::KIND, |name, body| {
        let object = T::read(name, body).unwrap_or_else(|error| {
            unread.push((T::KIND, error));
            T::closed()
        });
        out.insert(name.to_owned(), object);
        Ok(())
    })?;
    Ok(out)
}
