//! The function that the attribute stands on: what it takes, what it gives.

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, FnArg, Ident, ItemFn, Lit, Meta, ReturnType, Signature, Type};

use crate::check;

/// What the expansion needs to know of the function.
pub struct JobFunction {
    /// How it is called.
    pub ident: Ident,
    /// The first paragraph of its doc comment, may be empty.
    pub doc: String,
    /// The conditions that it is compiled under.
    pub cfgs: Vec<Attribute>,
    /// Whether its first parameter is `&Context`.
    pub takes_context: bool,
    /// The type of its arguments.
    pub args: Option<Type>,
    /// Whether it returns a `Result`.
    pub fallible: bool,
    /// Where its result is written.
    pub output: Span,
}

impl JobFunction {
    /// Reads the function and refuses what cannot be a job.
    pub fn parse(item: TokenStream) -> syn::Result<Self> {
        let span = item.span();
        let function: ItemFn = syn::parse2(item).map_err(|_| {
            Error::new(
                span,
                "`#[job]` stands on a function, as in `#[job] fn run(ctx: &Context) -> Result<()>`",
            )
        })?;
        let mut problems = shape_problems(&function.sig);
        let (takes_context, args) = match parameters(&function.sig) {
            Ok(parameters) => parameters,
            Err(problem) => {
                problems.push(problem);
                (false, None)
            }
        };
        crate::attribute::all_or_nothing(problems)?;
        Ok(Self {
            doc: first_paragraph(&function.attrs),
            cfgs: function.attrs.into_iter().filter(|attr| attr.path().is_ident("cfg")).collect(),
            takes_context,
            args,
            fallible: is_result(&function.sig.output),
            output: match &function.sig.output {
                ReturnType::Default => function.sig.ident.span(),
                ReturnType::Type(_, output) => output.span(),
            },
            ident: function.sig.ident,
        })
    }

    /// The function's name as a handler's.
    pub fn name(&self) -> syn::Result<String> {
        let name = self.ident.unraw().to_string();
        check::name(&name).map_err(|reason| {
            let message = format!("{reason}; give another one with `name = \"...\"`");
            Error::new(self.ident.span(), message)
        })
    }
}

/// Everything about the signature but its parameters.
fn shape_problems(signature: &Signature) -> Vec<Error> {
    let mut problems = Vec::new();
    let mut refuse = |span: Span, message: &str| problems.push(Error::new(span, message));
    if let Some(token) = &signature.asyncness {
        refuse(
            token.span(),
            "a job is a plain function: remove `async`; a call that waits holds up only its own run",
        );
    }
    if let Some(token) = &signature.unsafety {
        refuse(token.span(), "a job is a safe function: remove `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        refuse(abi.span(), "a job is a plain function: remove `extern`; the SDK exports it");
    }
    if !signature.generics.params.is_empty() {
        refuse(
            signature.generics.params.span(),
            "a job cannot be generic: the host would not know which one to call; name the types",
        );
    }
    if let Some(variadic) = &signature.variadic {
        refuse(variadic.span(), "a job takes one argument: name its type");
    }
    problems
}

/// Whether the context is taken, and the type of the arguments.
fn parameters(signature: &Signature) -> syn::Result<(bool, Option<Type>)> {
    let mut types = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Typed(parameter) => types.push(&*parameter.ty),
            FnArg::Receiver(receiver) => {
                let message = "a job is a free function: take no `self`";
                return Err(Error::new(receiver.span(), message));
            }
        }
    }
    let takes_context = types.first().is_some_and(|first| is_context_reference(first));
    let rest = if takes_context { &types[1..] } else { &types[..] };
    if let Some(context) = rest.iter().find(|ty| is_context_reference(ty)) {
        return Err(Error::new(context.span(), "`&Context` comes first: swap the parameters"));
    }
    if let Some(context) = rest.iter().find(|ty| is_context(ty)) {
        return Err(Error::new(context.span(), "the context is borrowed: write `&Context`"));
    }
    if let Some(second) = rest.get(1) {
        let message = "a job takes `&Context` and one argument at most: put the values into a \
                       struct that derives `serde::Deserialize`";
        return Err(Error::new(second.span(), message));
    }
    match rest.first() {
        Some(Type::Reference(reference)) => {
            let message = "the argument is read from JSON and owned: take `String` instead of \
                           `&str`, `Vec<T>` instead of `&[T]`, `T` instead of `&T`";
            Err(Error::new(reference.span(), message))
        }
        Some(Type::ImplTrait(implementation)) => {
            let message = "the argument is read from JSON: name its type instead of `impl`";
            Err(Error::new(implementation.span(), message))
        }
        first => Ok((takes_context, first.map(|ty| (*ty).clone()))),
    }
}

fn is_context_reference(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference)
        if reference.mutability.is_none() && is_context(&reference.elem))
}

fn is_context(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => {
            path.path.segments.last().is_some_and(|segment| segment.ident == "Context")
        }
        Type::Reference(reference) => is_context(&reference.elem),
        _ => false,
    }
}

/// Goes by the name, as the type is not known here: `Result`, `io::Result`, `MyResult`.
fn is_result(output: &ReturnType) -> bool {
    let ReturnType::Type(_, output) = output else { return false };
    let Type::Path(path) = &**output else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident.to_string().ends_with("Result"))
}

/// Doc comments are attributes, one a line.
fn first_paragraph(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Meta::NameValue(doc) = &attribute.meta else { continue };
        let Expr::Lit(value) = &doc.value else { continue };
        let Lit::Str(text) = &value.lit else { continue };
        lines.extend(text.value().split('\n').map(|line| line.trim().to_owned()));
    }
    let paragraph = lines.iter().skip_while(|line| line.is_empty());
    paragraph.take_while(|line| !line.is_empty()).cloned().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(item: &str) -> syn::Result<JobFunction> {
        JobFunction::parse(item.parse().unwrap())
    }

    #[test]
    fn a_job_takes_up_to_a_context_and_an_argument() {
        for (parameters, takes_context, args) in [
            ("", false, false),
            ("ctx: &Context", true, false),
            ("_: &campanile_sdk::Context", true, false),
            ("args: Args", false, true),
            ("ctx: &Context, Args { path }: Args", true, true),
            ("_: &'static Context, args: Option<Vec<u8>>", true, true),
        ] {
            let function = parse(&format!("fn run({parameters}) {{}}")).unwrap();
            assert_eq!(function.takes_context, takes_context, "{parameters}");
            assert_eq!(function.args.is_some(), args, "{parameters}");
        }
    }

    #[test]
    fn what_ends_in_result_may_fail() {
        for (output, fallible) in [
            ("", false),
            ("-> u32", false),
            ("-> Vec<Result<u32>>", false),
            ("-> Result<u32>", true),
            ("-> std::io::Result<()>", true),
            ("-> AppResult", true),
        ] {
            let function = parse(&format!("fn run() {output} {{}}")).unwrap();
            assert_eq!(function.fallible, fallible, "{output}");
        }
    }

    #[test]
    fn a_signature_that_cannot_be_called_says_what_to_write() {
        for (item, message) in [
            (
                "async fn run() {}",
                "a job is a plain function: remove `async`; a call that waits holds up only its \
                 own run",
            ),
            ("unsafe fn run() {}", "a job is a safe function: remove `unsafe`"),
            (
                "extern \"C\" fn run() {}",
                "a job is a plain function: remove `extern`; the SDK exports it",
            ),
            (
                "fn run<T>(args: T) {}",
                "a job cannot be generic: the host would not know which one to call; name the \
                 types",
            ),
            ("fn run(&self) {}", "a job is a free function: take no `self`"),
            ("fn run(ctx: Context) {}", "the context is borrowed: write `&Context`"),
            ("fn run(ctx: &mut Context) {}", "the context is borrowed: write `&Context`"),
            ("fn run(args: Args, ctx: &Context) {}", "`&Context` comes first: swap the parameters"),
            (
                "fn run(ctx: &Context, a: u8, b: u8) {}",
                "a job takes `&Context` and one argument at most: put the values into a struct \
                 that derives `serde::Deserialize`",
            ),
            (
                "fn run(path: &str) {}",
                "the argument is read from JSON and owned: take `String` instead of `&str`, \
                 `Vec<T>` instead of `&[T]`, `T` instead of `&T`",
            ),
            (
                "fn run(args: impl Args) {}",
                "the argument is read from JSON: name its type instead of `impl`",
            ),
        ] {
            let error = parse(item).err().expect(item);
            assert_eq!(error.to_string(), message, "{item}");
        }
    }

    #[test]
    fn the_description_is_the_first_paragraph() {
        let function =
            parse("/// Sums up\n/// sales.\n///\n/// Slowly.\nfn run() {}").expect("a function");
        assert_eq!(function.doc, "Sums up sales.");
    }
}
