//! Prompts and resources of a catalogue: who owns a name or a URI, and what may be offered to whom.

use super::skill::{Holding, Skill};
use super::uris::original;
use super::{Catalog, Door, Grant, ListKind, Offers, Prompt, Resource, ServerEntry, Template};
use crate::base::ids::{PromptId, ResourceId, ServerId, TemplateId};
use crate::base::limits::{SERVER_NAME_MAX, TEMPLATE_WORK_MAX, URI_MAX};
use std::borrow::Cow;

/// Longest URI looked up, in bytes: one of a server with a mark behind it.
const MARKED_URI_MAX: usize = URI_MAX + "#tollgate=".len() + SERVER_NAME_MAX;

/// Where a resource is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned<'a> {
    /// The server to ask.
    pub server: ServerId,
    /// The URI by which it knows the resource.
    pub uri: &'a str,
    /// The resource, where it is a listed one.
    pub listed: Option<ResourceId>,
}

impl Catalog {
    /// All prompts, in order.
    pub fn prompts(&self) -> &[Prompt] {
        &self.prompts
    }

    /// All resources, in order.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// All templates of resources, in order.
    pub fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// All skills, in order.
    pub fn skills(&self) -> &[Skill] {
        &self.skills
    }

    /// A prompt by an id of this catalogue.
    pub fn prompt(&self, id: PromptId) -> &Prompt {
        &self.prompts[id.0 as usize]
    }

    /// A resource by an id of this catalogue.
    pub fn resource(&self, id: ResourceId) -> &Resource {
        &self.resources[id.0 as usize]
    }

    /// A template by an id of this catalogue.
    pub fn template(&self, id: TemplateId) -> &Template {
        &self.templates[id.0 as usize]
    }

    /// The prompt of a name at a door, as with tools; nothing where the grant does not allow it, whether it is there or
    /// not.
    pub fn resolve_prompt(&self, door: Door, name: &str, grant: &Grant) -> Option<PromptId> {
        self.prompt_named(door, name, grant).filter(|id| grant.allows_prompt(*id))
    }

    /// The same, also where the grant does not allow it: for those who explain why.
    pub fn prompt_named(&self, door: Door, name: &str, grant: &Grant) -> Option<PromptId> {
        self.prompt_names.resolve(door, name, |id| grant.allows_prompt(id))
    }

    /// The template that is listed under this text at a door; nothing where the grant does not allow it.
    pub fn resolve_template(&self, door: Door, text: &str, grant: &Grant) -> Option<TemplateId> {
        self.template_owners.find(door, text, |id| grant.allows_template(id))
    }

    /// Who is asked for a URI at a door: the server that lists it, by itself or in a skill; else the first that has a
    /// template which it may have come from; else the only one with resources that the grant lets be asked for it.
    /// Nothing where that is nobody: hidden, denied and absent are the same.
    pub fn resolve_resource<'a>(&'a self, door: Door, uri: &'a str, grant: &Grant) -> Option<Owned<'a>> {
        self.owner(door, uri, grant, Self::has_resources)
    }

    /// Who is asked about a skill, or a folder of one, by its URI at a door: as with resources, among the servers that
    /// offer skills.
    pub fn resolve_skill<'a>(&'a self, door: Door, uri: &'a str, grant: &Grant) -> Option<Owned<'a>> {
        let offers = |_: &Self, server: &ServerEntry| server.offers.skills;
        let owned = self.owner(door, uri, grant, offers)?;
        self.server(owned.server).is_some_and(|server| server.offers.skills).then_some(owned)
    }

    fn owner<'a>(
        &'a self,
        door: Door,
        uri: &'a str,
        grant: &Grant,
        may: fn(&Self, &ServerEntry) -> bool,
    ) -> Option<Owned<'a>> {
        if uri.len() > MARKED_URI_MAX {
            return None;
        }
        match self.resource_owners.find(door, uri, |held| self.allows(grant, held)) {
            Some(Holding::Resource(id)) => {
                let resource = self.resource(id);
                Some(Owned { server: resource.server, uri: &resource.uri, listed: Some(id) })
            }
            Some(Holding::File(at)) => {
                let file = &self.files[at as usize];
                Some(Owned { server: file.server, uri: &file.uri, listed: None })
            }
            None => self.marked(door, uri, grant).or_else(|| self.unlisted(door, uri, grant, may)),
        }
    }

    /// Files of skills are held against the patterns as they are asked for: no list shows them.
    fn allows(&self, grant: &Grant, held: Holding) -> bool {
        match held {
            Holding::Resource(id) => grant.allows_resource(id),
            Holding::File(at) => {
                let file = &self.files[at as usize];
                grant.covers_uri(file.server, self.server_name(file.server), &file.uri)
            }
        }
    }

    /// A URI that bears the mark of a server of which the grant shows resources.
    fn marked<'a>(&self, door: Door, uri: &'a str, grant: &Grant) -> Option<Owned<'a>> {
        let (own, name) = original(uri).filter(|_| door == Door::All)?;
        let server = self.server_id(name).filter(|id| grant.covers_uri(*id, name, own))?;
        Some(Owned { server, uri: own, listed: None })
    }

    fn unlisted<'a>(
        &self,
        door: Door,
        uri: &'a str,
        grant: &Grant,
        may: fn(&Self, &ServerEntry) -> bool,
    ) -> Option<Owned<'a>> {
        let covered = |server: &&ServerEntry| grant.covers_uri(server.id, &server.name, uri) && may(self, server);
        let mut work = TEMPLATE_WORK_MAX;
        let mut matches = |server: &&ServerEntry| self.has_template_of(server.id, uri, &mut work);
        let server = match self.servers_behind(door).filter(covered).find(&mut matches) {
            Some(server) => server,
            None => {
                let mut all = self.servers_behind(door).filter(covered);
                all.next().filter(|_| all.next().is_none())?
            }
        };
        Some(Owned { server: server.id, uri, listed: None })
    }

    fn has_template_of(&self, server: ServerId, uri: &str, work: &mut usize) -> bool {
        let mut templates = self.range(Door::Server(server), ListKind::Templates);
        templates.any(|at| {
            let matcher = self.template(TemplateId(at)).matcher.as_ref();
            matcher.is_some_and(|matcher| matcher.matches(uri, work))
        })
    }

    /// Whether a server says that it has resources, or has listed any.
    pub fn has_resources(&self, server: &ServerEntry) -> bool {
        let lists = |kind| !self.range(Door::Server(server.id), kind).is_empty();
        server.offers.resources || lists(ListKind::Resources) || lists(ListKind::Templates)
    }

    fn servers_behind(&self, door: Door) -> impl Iterator<Item = &ServerEntry> {
        let here = move |server: &&ServerEntry| door == Door::All || door == Door::Server(server.id);
        self.servers().iter().filter(here)
    }

    /// The URI by which clients at a door know a server's own, listed or not. What the server says of its resources is
    /// to be told so.
    pub fn listed_uri<'a>(&self, door: Door, server: ServerId, uri: &'a str) -> Cow<'a, str> {
        if door != Door::All {
            return uri.into();
        }
        let listed = self.resource_owners.listed_as(uri, server, self.server_name(server));
        if *listed == *uri { uri.into() } else { listed.into_string().into() }
    }

    /// What the servers behind a door offer of what the grant shows.
    pub fn offers(&self, door: Door, grant: &Grant) -> Offers {
        let mut all = Offers::default();
        for server in self.servers_behind(door) {
            let prompts = server.offers.prompts && grant.admits_prompts(server.id);
            let resources = server.offers.resources && grant.admits_resources(server.id);
            all.prompts |= prompts;
            all.resources |= resources;
            all.completions |= server.offers.completions && (prompts || resources);
            all.subscribe |= server.offers.subscribe && resources;
            let any = grant.admits(server.id);
            all.tasks |= server.offers.tasks && any;
            all.ui |= server.offers.ui && any;
            // Files of skills are resources, and so is what may be known of them.
            let skills = server.offers.skills && grant.admits_resources(server.id);
            all.skills |= skills;
            all.directories |= skills && server.offers.directories;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::{GrantCompiler, Pattern, Rights, ServerList, Sort, rewrite, testing};
    use super::*;

    fn sample() -> Catalog {
        testing::documents(&[
            ("docs", [&["review", "x.y"], &["file:///a", "file:///b"], &["file:///t/{id}"]]),
            ("web", [&["review"], &["file:///a", "web:c"], &["file:///t/{id}", "web:{+q}"]]),
            ("bare", [&[], &[], &[]]),
        ])
    }

    fn grant(catalog: &Catalog, prompts: &[&str], resources: &[&str]) -> Grant {
        let parse = |sort, patterns: &[&str]| -> Box<[Pattern]> {
            patterns.iter().map(|text| Pattern::parse_as(sort, text).unwrap()).collect()
        };
        let mut rights = Rights::default();
        *rights.of_mut(Sort::Prompts) = parse(Sort::Prompts, prompts);
        *rights.of_mut(Sort::Resources) = parse(Sort::Resources, resources);
        GrantCompiler::new(catalog).compile(&rights)
    }

    #[test]
    fn prompts_resolve_as_tools_do_but_never_to_what_is_denied() {
        let catalog = sample();
        let at = |door, name, patterns: &[&str]| {
            let id = catalog.resolve_prompt(door, name, &grant(&catalog, patterns, &[]))?;
            Some(catalog.prompt(id).exposed.to_string())
        };
        assert_eq!(at(Door::All, "docs__review", &["*/*"]).as_deref(), Some("docs__review"));
        assert_eq!(at(Door::All, "review", &["*/*"]), None, "two bear it");
        assert_eq!(at(Door::All, "review", &["web/*"]).as_deref(), Some("web__review"));
        assert_eq!(at(Door::All, "docs__review", &["web/*"]), None);
        assert_eq!(at(Door::Server(ServerId(1)), "review", &["*/*"]).as_deref(), Some("web__review"));
        assert_eq!(at(Door::Server(ServerId(1)), "docs__review", &["*/*"]), None);
        assert_eq!(at(Door::All, "review", &[]), None, "denied by default");
    }

    fn owner(catalog: &Catalog, door: Door, uri: &str, patterns: &[&str]) -> Option<(String, String)> {
        let owned = catalog.resolve_resource(door, uri, &grant(catalog, &[], patterns))?;
        Some((catalog.server_name(owned.server).to_owned(), owned.uri.to_owned()))
    }

    #[test]
    fn a_uri_belongs_to_the_first_that_lists_it_and_the_other_is_marked() {
        let catalog = sample();
        let at = |uri: &str, patterns: &[&str]| owner(&catalog, Door::All, uri, patterns);
        let pair = |server: &str, uri: &str| Some((server.to_owned(), uri.to_owned()));
        assert_eq!(at("file:///a", &["*/*"]), pair("docs", "file:///a"));
        assert_eq!(at("file:///a#tollgate=web", &["*/*"]), pair("web", "file:///a"));
        assert_eq!(at("file:///a", &["web/*"]), pair("web", "file:///a"), "as it is alone in sight");
        assert_eq!(at("file:///a#tollgate=web", &["docs/file:///a"]), None);
        assert_eq!(at("file:///zzz#tollgate=web", &["*/*"]), pair("web", "file:///zzz"), "unlisted, and marked");
        assert_eq!(at("file:///a", &[]), None, "denied by default");
        let web = Door::Server(ServerId(1));
        assert_eq!(owner(&catalog, web, "file:///a", &["*/*"]), pair("web", "file:///a"));
        assert_eq!(owner(&catalog, web, "file:///b", &["docs/*"]), None);
        let listed: Vec<_> = catalog.resources().iter().map(|resource| &*resource.listed).collect();
        assert_eq!(listed, ["file:///a", "file:///b", "file:///a#tollgate=web", "web:c"]);
        assert_eq!(&*catalog.templates()[1].listed, "file:///t/{id}#tollgate=web");
        for resource in catalog.resources() {
            let known = catalog.listed_uri(Door::All, resource.server, &resource.uri);
            assert_eq!(known, &*resource.listed);
            assert_eq!(
                catalog.listed_uri(Door::Server(resource.server), resource.server, &resource.uri),
                &*resource.uri
            );
        }
    }

    #[test]
    fn an_unlisted_uri_goes_to_the_template_it_fits_else_to_the_only_server() {
        let catalog = sample();
        let at = |uri: &str, patterns: &[&str]| owner(&catalog, Door::All, uri, patterns).map(|(server, _)| server);
        assert_eq!(at("file:///t/5", &["*/*"]).as_deref(), Some("docs"));
        assert_eq!(at("file:///t/5", &["web/*"]).as_deref(), Some("web"));
        assert_eq!(at("file:///t/5#tollgate=web", &["*/*"]).as_deref(), Some("web"), "a marked template, expanded");
        assert_eq!(at("web:?q=1", &["*/*"]).as_deref(), Some("web"));
        assert_eq!(at("other:1", &["*/*"]), None, "three may have it");
        assert_eq!(at("other:1", &["bare/*"]).as_deref(), Some("bare"));
        assert_eq!(at("other:1", &["bare/other:*", "web/web:*"]).as_deref(), Some("bare"));
        assert_eq!(at("web:../x", &["web/web:*"]), Some("web".to_owned()), "no segment by itself");
        assert_eq!(at("web:a/../x", &["web/web:*"]), None, "walks up");
        assert_eq!(at(&format!("bare:{}", "x".repeat(MARKED_URI_MAX)), &["bare/*"]), None);
    }

    #[test]
    fn no_server_catches_what_is_marked_as_anothers() {
        let marked = rewrite("x:5", "good");
        let catalog =
            testing::documents(&[("evil", [&[], &[&*marked], &["x:{n}", "{+any}"]]), ("good", [&[], &[], &["x:{n}"]])]);
        assert_eq!(owner(&catalog, Door::All, &marked, &["*/*"]), Some(("good".to_owned(), "x:5".to_owned())));
        let own = rewrite(&marked, "evil");
        assert_eq!(owner(&catalog, Door::All, &own, &["*/*"]), Some(("evil".to_owned(), marked)));
    }

    #[test]
    fn a_server_that_is_hidden_cannot_be_told_from_one_that_is_not_there() {
        let catalog = sample();
        let uri = |server| rewrite("other:1", server);
        let at = |uri: &str| owner(&catalog, Door::All, uri, &["bare/*"]).map(|(server, _)| server);
        assert_eq!(at(&uri("web")), at(&uri("nobody")));
    }

    #[test]
    fn only_what_is_shown_is_offered() {
        let catalog = sample();
        let all = catalog.offers(Door::All, &grant(&catalog, &["web/*"], &[]));
        assert_eq!(all, Offers { prompts: true, completions: true, ..Offers::default() });
        let none = catalog.offers(Door::Server(ServerId(0)), &grant(&catalog, &["web/*"], &["web/*"]));
        assert!(none.is_nothing());
        assert!(catalog.offers(Door::All, &Grant::nothing()).is_nothing());
        assert!(catalog.offers(Door::All, &grant(&catalog, &[], &["bare/*"])).resources);
    }

    /// Two servers with one skill of the same URI; the second also lists a resource that is a file of the first's.
    fn skilled() -> Catalog {
        let entry = |file: &str| format!(r#"{{"uri":"skill://s/SKILL.md","resources":[{{"uri":"{file}"}}]}}"#);
        let list = |name: &str, file: &str, resource: &str| {
            let offers = Offers { resources: true, skills: true, ..Offers::default() };
            let resources = vec![format!(r#"{{"name":"n","uri":"{resource}"}}"#).into()];
            let skills = vec![entry(file).into(), entry(file).into(), "{}".into()];
            ServerList { stale: false, offers, resources, skills, ..ServerList::empty(name) }
        };
        let lists = [list("one", "skill://s/a/b.md", "x:1"), list("two", "skill://s/c.md", "skill://s/a/b.md")];
        let servers: Vec<_> = (0..).map(ServerId).zip(&lists).map(|(id, list)| (id, &*list.server, list)).collect();
        Catalog::build(&servers)
    }

    #[test]
    fn files_and_folders_of_a_skill_belong_to_its_server() {
        let catalog = skilled();
        assert_eq!((catalog.skills().len(), catalog.warnings().len()), (2, 4), "{:?}", catalog.warnings());
        let at = |uri: &str, patterns: &[&str]| owner(&catalog, Door::All, uri, patterns);
        let pair = |server: &str, uri: &str| Some((server.to_owned(), uri.to_owned()));
        for uri in ["skill://s/SKILL.md", "skill://s/a/b.md", "skill://s/a", "skill://s"] {
            assert_eq!(at(uri, &["*/*"]), pair("one", uri));
            let hidden = at(uri, &["two/*"]).map(|(server, _)| server);
            assert_eq!(hidden.as_deref(), Some("two"), "the first is hidden: {uri}");
            assert_eq!(at(uri, &["one/x:*"]), None, "not covered: {uri}");
        }
        assert_eq!(at("skill://s/c.md", &["*/*"]), pair("two", "skill://s/c.md"));
        assert_eq!(at("skill://s/a/b.md#tollgate=two", &["*/*"]), pair("two", "skill://s/a/b.md"));
        assert_eq!(&*catalog.resources()[1].listed, "skill://s/a/b.md#tollgate=two", "as the first has it in a skill");
        let all = grant(&catalog, &[], &["*/*"]);
        let skill = catalog.resolve_skill(Door::All, "skill://s/SKILL.md#tollgate=two", &all).unwrap();
        assert_eq!((skill.server, skill.uri), (ServerId(1), "skill://s/SKILL.md"));
        assert_eq!(catalog.resolve_skill(Door::All, "skill://s/SKILL.md", &Grant::nothing()), None);
    }

    #[test]
    fn who_offers_no_skills_is_not_asked_for_one() {
        let catalog = sample();
        let all = grant(&catalog, &[], &["*/*"]);
        assert!(catalog.resolve_resource(Door::All, "file:///a", &all).is_some());
        assert_eq!(catalog.resolve_skill(Door::All, "file:///a", &all), None);
    }

    #[test]
    fn templates_resolve_under_the_text_they_are_listed_by() {
        let catalog = sample();
        let all = grant(&catalog, &[], &["*/*"]);
        for (at, template) in (0..).zip(catalog.templates()) {
            assert_eq!(catalog.resolve_template(Door::All, &template.listed, &all), Some(TemplateId(at)));
            let own = catalog.resolve_template(Door::Server(template.server), &template.text, &all);
            assert_eq!(own, Some(TemplateId(at)));
        }
        assert_eq!(catalog.resolve_template(Door::All, "file:///t/{id}", &Grant::nothing()), None);
    }
}
