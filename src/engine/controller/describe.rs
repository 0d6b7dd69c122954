//! Configurations as they are told (DescribeConfigs, CreateTopics from version 5 on): each with its value, where it
//! comes from, and what would hold without it.
//!
//! Nothing here is sensitive: there are no passwords.

use crate::engine::config::ClusterConfig;
use crate::engine::controller::config_table::{self, BROKER, ConfigDef, GROUP, Scope, TOPIC, Update};
use crate::engine::controller::configs::{ConfigSource, Found, layers};
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::ConfigResource;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;

/// One configuration as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` for null.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed while brokers run.
    pub is_read_only: bool,
    /// Every value there is for it, the one that holds first.
    pub synonyms: Vec<(String, Option<String>, ConfigSource)>,
    /// What the table says; `None` for a name that is not Kafka's.
    pub def: Option<&'static ConfigDef>,
}

impl ConfigEntry {
    fn new(def: &'static ConfigDef, is_read_only: bool, found: &[Found]) -> ConfigEntry {
        let holds = found.first();
        ConfigEntry {
            name: def.name.to_owned(),
            value: holds.and_then(Found::scaled),
            source: holds.map_or(ConfigSource::Default, |found| found.source),
            is_read_only,
            synonyms: found.iter().map(|one| (one.name.to_owned(), one.value.clone(), one.source)).collect(),
            def: Some(def),
        }
    }

    fn custom(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        let value = Some(value.to_owned());
        let synonyms = vec![(name.to_owned(), value.clone(), source)];
        ConfigEntry { name: name.to_owned(), value, source, is_read_only: false, synonyms, def: None }
    }
}

/// A topic's configurations, of which `own` are set for it, as a broker sees them.
pub fn topic_entries(
    image: &MetadataImage,
    cluster: &ClusterConfig,
    broker: Option<BrokerId>,
    own: &BTreeMap<String, String>,
) -> Vec<ConfigEntry> {
    let entry = |def: &'static ConfigDef| {
        let own = own.get(def.name).map(String::as_str);
        ConfigEntry::new(def, false, &layers(&image.configs, cluster, broker, own, def))
    };
    TOPIC.iter().map(entry).collect()
}

/// A group's configurations, whether or not it exists (`ConfigHelper.createGroupConfigEntry`).
pub fn group_entries(image: &MetadataImage, cluster: &ClusterConfig, group: &str) -> Vec<ConfigEntry> {
    let own = image.configs.get(&ConfigResource::Group(group.to_owned()));
    let entry = |def: &'static ConfigDef| {
        let own = own.and_then(|own| own.get(def.name)).map(String::as_str);
        ConfigEntry::new(def, false, &layers(&image.configs, cluster, None, own, def))
    };
    GROUP.iter().map(entry).collect()
}

/// A broker's configurations, those that it was given (id, address, rack) included.
pub fn broker_entries(image: &MetadataImage, cluster: &ClusterConfig, broker: BrokerId) -> Vec<ConfigEntry> {
    let given = given_values(image, broker);
    let mut entries: Vec<ConfigEntry> = Vec::with_capacity(BROKER.len());
    for def in BROKER {
        let mut found = layers(&image.configs, cluster, Some(broker), None, def);
        if let Some(value) = given.get(def.name) {
            let value = Some(value.clone());
            found.insert(0, Found { name: def.name, value, source: ConfigSource::Static, factor: 1 });
        }
        entries.push(ConfigEntry::new(def, def.update == Update::ReadOnly, &found));
    }
    for (resource, source) in
        [(ConfigResource::Broker(broker), ConfigSource::Broker), (ConfigResource::Cluster, ConfigSource::Cluster)]
    {
        for (name, value) in image.configs.get(&resource).into_iter().flatten() {
            let is_told = entries.iter().any(|entry| entry.name == *name);
            if !is_told {
                entries.push(ConfigEntry::custom(name, value, source));
            }
        }
    }
    entries
}

/// What is set for all brokers while they run; nothing else.
pub fn cluster_entries(image: &MetadataImage) -> Vec<ConfigEntry> {
    let set = image.configs.get(&ConfigResource::Cluster).into_iter().flatten();
    set.map(|(name, value)| ConfigEntry {
        def: config_table::find(Scope::Broker, name),
        ..ConfigEntry::custom(name, value, ConfigSource::Cluster)
    })
    .collect()
}

fn given_values(image: &MetadataImage, broker: BrokerId) -> BTreeMap<&'static str, String> {
    let mut given = BTreeMap::from([("broker.id", broker.to_string()), ("node.id", broker.to_string())]);
    if let Some(registration) = image.brokers.get(&broker) {
        let listener = format!("PLAINTEXT://{}:{}", registration.host, registration.port);
        let roles = if registration.is_controller { "broker,controller" } else { "broker" };
        given.insert("advertised.listeners", listener.clone());
        given.insert("listeners", listener);
        given.insert("process.roles", roles.to_owned());
        if let Some(rack) = &registration.rack {
            given.insert("broker.rack", rack.clone());
        }
    }
    given
}
