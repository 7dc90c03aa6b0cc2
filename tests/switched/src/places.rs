//! Where in a parsed file the texts are that mutants replace.

use crate::lines::Lines;
use crate::list::Position;
use std::collections::HashMap;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, BinOp, Block, Expr, ExprBinary, ExprStruct, ExprUnary, Pat, Signature};

/// A `const fn`.
#[derive(Clone, Debug)]
pub struct ConstFn {
    /// Its name.
    pub name: String,
    /// The keyword `const`.
    pub keyword: Range<usize>,
    /// Its block.
    pub body: Range<usize>,
}

/// A binary operator, with the expressions around it that another operator may tear apart.
#[derive(Clone, Debug)]
pub struct Operator {
    /// How tightly it binds.
    pub precedence: u8,
    /// The operators' expressions that it is in, without anything but operators between them, from the outermost to its own.
    pub chain: Vec<Link>,
}

/// An operator with its two operands.
#[derive(Clone, Debug)]
pub struct Link {
    /// How tightly the operator binds.
    pub precedence: u8,
    /// All of it.
    pub extent: Range<usize>,
    /// Whether it is a chain of `&&` with a `let` in it, so that it is no expression by itself.
    pub has_let: bool,
}

/// What a file has. Keys are offsets at which the text begins that a mutant replaces.
#[derive(Debug, Default)]
pub struct Places {
    /// Binary operators.
    pub operators: HashMap<usize, Operator>,
    /// Expressions that begin with an operator of one operand.
    pub unaries: HashMap<usize, Range<usize>>,
    /// For arms of matches that have an arm `_` without a condition: where their patterns end.
    pub arms: HashMap<usize, usize>,
    /// Literals of structures, by the beginning of each of their fields.
    pub fields: HashMap<usize, Range<usize>>,
    /// What the compiler computes: nothing in it can ask for a switch.
    pub constants: Vec<Range<usize>>,
    /// Functions that the compiler may call.
    pub const_fns: Vec<ConstFn>,
    /// All functions with a block.
    pub functions: Vec<Range<usize>>,
}

/// The places of a file.
pub fn of(file: &syn::File, lines: &Lines<'_>) -> Places {
    let mut visitor = Visitor { lines, chain: Vec::new(), places: Places::default() };
    visitor.visit_file(file);
    visitor.places
}

/// How tightly an operator binds: more is tighter (the Rust Reference, "Expression precedence").
pub fn precedence(operator: &BinOp) -> u8 {
    match operator {
        BinOp::Mul(_) | BinOp::Div(_) | BinOp::Rem(_) => 9,
        BinOp::Add(_) | BinOp::Sub(_) => 8,
        BinOp::Shl(_) | BinOp::Shr(_) => 7,
        BinOp::BitAnd(_) => 6,
        BinOp::BitXor(_) => 5,
        BinOp::BitOr(_) => 4,
        BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => 3,
        BinOp::And(_) => 2,
        BinOp::Or(_) => 1,
        _ => 0,
    }
}

struct Visitor<'l, 't> {
    lines: &'l Lines<'t>,
    chain: Vec<Link>,
    places: Places,
}

impl Visitor<'_, '_> {
    fn extent(&self, node: &impl Spanned) -> Range<usize> {
        let span = node.span();
        let at = |place: proc_macro2::LineColumn| {
            let place = Position { line: place.line, column: place.column + 1 };
            self.lines.offset(place).expect("the parser names places of the text that it read")
        };
        at(span.start())..at(span.end())
    }

    fn function(&mut self, whole: &impl Spanned, signature: &Signature, block: &Block) {
        let whole = self.extent(whole);
        self.places.functions.push(whole);
        if let Some(keyword) = &signature.constness {
            let (keyword, body) = (self.extent(keyword), self.extent(block));
            self.places.const_fns.push(ConstFn { name: signature.ident.to_string(), keyword, body });
        }
    }

    fn constant(&mut self, node: &impl Spanned) {
        let extent = self.extent(node);
        self.places.constants.push(extent);
    }
}

impl<'a> Visit<'a> for Visitor<'_, '_> {
    fn visit_expr(&mut self, node: &'a Expr) {
        if matches!(node, Expr::Binary(_)) {
            return visit::visit_expr(self, node);
        }
        // Whatever is no operator of two operands keeps what is inside it together.
        let chain = std::mem::take(&mut self.chain);
        if matches!(node, Expr::Const(_)) {
            self.constant(node);
        }
        visit::visit_expr(self, node);
        self.chain = chain;
    }

    fn visit_expr_binary(&mut self, node: &'a ExprBinary) {
        let precedence = precedence(&node.op);
        let extent = self.extent(node);
        self.chain.push(Link { precedence, extent, has_let: has_let(node) });
        let operator = Operator { precedence, chain: self.chain.clone() };
        self.places.operators.insert(self.extent(&node.op).start, operator);
        visit::visit_expr_binary(self, node);
        self.chain.pop();
    }

    fn visit_expr_unary(&mut self, node: &'a ExprUnary) {
        let extent = self.extent(node);
        self.places.unaries.insert(extent.start, extent);
        visit::visit_expr_unary(self, node);
    }

    fn visit_expr_match(&mut self, node: &'a syn::ExprMatch) {
        let catches_all = |arm: &Arm| matches!(arm.pat, Pat::Wild(_)) && arm.guard.is_none();
        if node.arms.iter().any(catches_all) {
            for arm in node.arms.iter().filter(|arm| arm.guard.is_none()) {
                let (start, end) = (self.extent(arm).start, self.extent(&arm.pat).end);
                self.places.arms.insert(start, end);
            }
        }
        visit::visit_expr_match(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'a ExprStruct) {
        if node.rest.is_some() {
            for field in &node.fields {
                let (start, whole) = (self.extent(field).start, self.extent(node));
                self.places.fields.insert(start, whole);
            }
        }
        visit::visit_expr_struct(self, node);
    }

    fn visit_item_fn(&mut self, node: &'a syn::ItemFn) {
        self.function(node, &node.sig, &node.block);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'a syn::ImplItemFn) {
        self.function(node, &node.sig, &node.block);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_trait_item_fn(&mut self, node: &'a syn::TraitItemFn) {
        if let Some(block) = &node.default {
            self.function(node, &node.sig, block);
        }
        visit::visit_trait_item_fn(self, node);
    }

    fn visit_item_const(&mut self, node: &'a syn::ItemConst) {
        self.constant(node);
        visit::visit_item_const(self, node);
    }

    fn visit_item_static(&mut self, node: &'a syn::ItemStatic) {
        self.constant(node);
        visit::visit_item_static(self, node);
    }

    fn visit_impl_item_const(&mut self, node: &'a syn::ImplItemConst) {
        self.constant(node);
        visit::visit_impl_item_const(self, node);
    }

    fn visit_trait_item_const(&mut self, node: &'a syn::TraitItemConst) {
        self.constant(node);
        visit::visit_trait_item_const(self, node);
    }

    fn visit_variant(&mut self, node: &'a syn::Variant) {
        self.constant(node);
        visit::visit_variant(self, node);
    }

    fn visit_type(&mut self, node: &'a syn::Type) {
        self.constant(node);
        visit::visit_type(self, node);
    }

    fn visit_generic_argument(&mut self, node: &'a syn::GenericArgument) {
        self.constant(node);
        visit::visit_generic_argument(self, node);
    }

    fn visit_expr_repeat(&mut self, node: &'a syn::ExprRepeat) {
        self.constant(&*node.len);
        visit::visit_expr_repeat(self, node);
    }
}

/// Whether an operand is a `let`, or a chain of `&&` with one.
fn has_let(node: &ExprBinary) -> bool {
    [&node.left, &node.right].into_iter().any(|operand| match &**operand {
        Expr::Let(_) => true,
        Expr::Binary(inner) => matches!(inner.op, BinOp::And(_)) && has_let(inner),
        _ => false,
    })
}
