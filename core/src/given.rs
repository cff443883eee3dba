//! The parts of a request, read and judged together.

use crate::error::{Error, Result};
use crate::schema::{
    self, EventsOptions, Input, Issue, Issues, Json, Limits, Options, OptionsFor, PathItem, Validated,
};
use crate::storage::{Request, Text};
use crate::stores::{id_issue, invalid};

/// A request's parts as they are read: every issue of every part is gathered before anything is done.
pub(crate) struct Given<'a> {
    request: &'a Request,
    limits: &'a Limits,
    issues: Vec<Issue>,
}

impl<'a> Given<'a> {
    pub fn new(request: &'a Request, limits: &'a Limits) -> Self {
        Self { request, limits, issues: Vec::new() }
    }

    fn take<T>(&mut self, read: std::result::Result<T, Issues>) -> Option<T> {
        read.map_err(|issues| self.issues.extend(issues.0)).ok()
    }

    pub fn guarded(&mut self, checked: std::result::Result<(), Vec<Issue>>) {
        if let Err(issues) = checked {
            self.issues.extend(issues);
        }
    }

    pub fn user(&mut self) -> Option<String> {
        let input = Input { text: &self.request.id, tagged: self.request.id_tagged };
        self.take(schema::check_user_id(input, self.limits))
    }

    /// An argument that is missing altogether is `undefined`.
    pub fn data<T: Validated>(&mut self) -> Option<T> {
        let read = match &self.request.data {
            Some(text) => schema::parse(text.input(), self.limits),
            None => Err(missing()),
        };
        self.take(read)
    }

    pub fn events(&mut self) -> Option<EventsOptions> {
        let read = match &self.request.data {
            Some(text) => schema::events_options(text.input(), self.limits),
            None => Err(missing()),
        };
        self.take(read)
    }

    /// What is asked, read by a function of its own.
    pub fn asked<T>(
        &mut self,
        read: impl FnOnce(Input<'_>, &Limits) -> std::result::Result<T, Issues>,
    ) -> Option<T> {
        let read = match &self.request.data {
            Some(text) => read(text.input(), self.limits),
            None => Err(missing()),
        };
        self.take(read)
    }

    /// The first argument, a text of 1 to `most` code points.
    pub fn named(&mut self, name: &str, most: usize) -> Option<String> {
        let input = Input { text: &self.request.id, tagged: self.request.id_tagged };
        self.take(schema::check_text(input, name, 1, most))
    }

    /// The first argument, a place of several parts.
    pub fn place<T>(
        &mut self,
        read: impl FnOnce(Input<'_>, &Limits) -> std::result::Result<T, Issues>,
    ) -> Option<T> {
        let input = Input { text: &self.request.id, tagged: self.request.id_tagged };
        let read = read(input, self.limits);
        self.take(read)
    }

    /// A JSON value.
    pub fn value(&mut self, name: &str) -> Option<Json> {
        let undefined = Text { text: r#"["undefined"]"#.to_owned(), tagged: true };
        let text = self.request.data.as_ref().unwrap_or(&undefined);
        self.take(schema::json_value(text.input(), name, self.limits))
    }

    /// Another text of 1 to `most` code points.
    pub fn text(&mut self, name: &str, most: usize) -> Option<String> {
        let undefined = Text { text: r#"["undefined"]"#.to_owned(), tagged: true };
        let text = self.request.data.as_ref().unwrap_or(&undefined);
        self.take(schema::check_text(text.input(), name, 1, most))
    }

    pub fn options(&mut self, which: OptionsFor) -> Options {
        let Some(text) = &self.request.options else { return Options::default() };
        self.take(schema::options(which, text.input(), self.limits)).unwrap_or_default()
    }

    /// Data with a shape of their own.
    pub fn own_data<T>(
        &mut self,
        read: impl Fn(Input<'_>, &Limits) -> std::result::Result<T, Issues>,
    ) -> Option<T> {
        let read = match &self.request.data {
            Some(text) => read(text.input(), self.limits),
            None => Err(missing()),
        };
        self.take(read)
    }

    /// Options with a shape of their own; absent, they are the usual ones.
    pub fn own_options<T: Default>(
        &mut self,
        read: impl Fn(Input<'_>, &Limits) -> std::result::Result<T, Issues>,
    ) -> T {
        let Some(text) = &self.request.options else { return T::default() };
        self.take(read(text.input(), self.limits)).unwrap_or_default()
    }

    /// The id's own issue comes first.
    fn finish(&mut self) -> Result<()> {
        if let Some(issue) = self.id_issue() {
            self.issues.insert(0, issue);
        }
        if self.issues.is_empty() { Ok(()) } else { Err(invalid(std::mem::take(&mut self.issues))) }
    }

    fn id_issue(&self) -> Option<Issue> {
        let name = self.request.operation.id_name();
        if name.is_empty() || name == "userId" {
            return None;
        }
        if !self.request.id_is_value {
            return id_issue(name, &self.request.id);
        }
        let input = Input { text: &self.request.id, tagged: self.request.id_tagged };
        schema::check_text(input, name, 1, self.limits.id_code_points)
            .err()
            .and_then(|issues| issues.0.into_iter().next())
    }

    pub fn one<T>(&mut self, value: Option<T>) -> Result<T> {
        self.finish()?;
        value.ok_or_else(|| Error::internal("an input without an issue has no value"))
    }

    pub fn both<A, B>(&mut self, a: Option<A>, b: Option<B>) -> Result<(A, B)> {
        self.one(a.zip(b))
    }
}

fn missing() -> Issues {
    Issues(vec![Issue::invalid_type(&[] as &[PathItem], "object", "undefined")])
}
