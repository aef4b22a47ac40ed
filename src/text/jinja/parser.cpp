#include "text/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>

namespace kvcomm::jinja {

using Kind = Token::Kind;

class Parser::Nesting {
 public:
  explicit Nesting(Parser& parser) : parser_(parser) {
    if (++parser_.depth_ > kDeepest) {
      --parser_.depth_;
      parser_.refuse(fmt::format("tags and brackets nest more than {} deep", kDeepest));
    }
  }
  ~Nesting() { --parser_.depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  Parser& parser_;
};

// ---- tokens

void Parser::refuse(std::string what) const { throw SyntaxError{std::move(what), current().line}; }

void Parser::refuse_token(std::string_view wanted) const {
  const Token& token = current();
  const std::string found = token.kind == Kind::kEnd           ? "the template's end"
                            : token.kind == Kind::kBlockEnd    ? "the tag's end"
                            : token.kind == Kind::kVariableEnd ? "the end of what is printed"
                                                               : fmt::format("'{}'", token.text);
  refuse(fmt::format("expected {}, got {}", wanted, found));
}

bool Parser::is_name(std::string_view name) const {
  return current().kind == Kind::kName && current().text == name;
}

bool Parser::is_operator(std::string_view name) const {
  return current().kind == Kind::kOperator && current().text == name;
}

bool Parser::skip_name(std::string_view name) {
  if (!is_name(name)) return false;
  take();
  return true;
}

bool Parser::skip_operator(std::string_view name) {
  if (!is_operator(name)) return false;
  take();
  return true;
}

void Parser::expect_operator(std::string_view name) {
  if (!skip_operator(name)) refuse_token(fmt::format("'{}'", name));
}

void Parser::expect(Kind kind, std::string_view wanted) {
  if (!is(kind)) refuse_token(wanted);
  take();
}

std::string Parser::expect_name() {
  if (!is(Kind::kName)) refuse_token("a name");
  return take().text;
}

// ---- blocks

Block Parser::parse() {
  Block body = parse_until({});
  if (!is(Kind::kEnd)) refuse_token("the template's end");
  refused_.insert(refused_.end(), unknown_.begin(), unknown_.end());
  if (!refused_.empty()) throw SyntaxError{refused_.front().what, refused_.front().line};
  return body;
}

// Up to the tag of one of these names, which is current then; or to the template's end.
Block Parser::parse_until(std::initializer_list<std::string_view> ends) {
  Block block;
  while (!is(Kind::kEnd)) {
    if (is(Kind::kData)) {
      block.push_back([text = take().text](Frame& frame) {
        *frame.out += text;
        return Flow::kOn;
      });
    } else if (is(Kind::kVariableBegin)) {
      parse_output(block);
    } else {
      expect(Kind::kBlockBegin, "a tag");
      if (std::ranges::any_of(ends, [&](std::string_view name) { return is_name(name); })) break;
      block.push_back(parse_statement());
      expect(Kind::kBlockEnd, "the tag's end");
    }
  }
  return block;
}

// Behind a tag's content: the tag's end, and what stands up to one of the ends.
Block Parser::parse_inside(std::initializer_list<std::string_view> ends) {
  skip_operator(":");
  expect(Kind::kBlockEnd, "the tag's end");
  Block block = parse_until(ends);
  if (is(Kind::kEnd)) refuse_token(fmt::format("the tag '{}'", *(ends.end() - 1)));
  return block;
}

// The inside of a tag whose names are its own, up to its end: no loop around it can be left there.
Block Parser::parse_apart(std::string_view end) {
  const int loops = std::exchange(loops_, 0);
  const size_t known = unknown_.size();
  Block block = parse_inside({end});
  take();
  loops_ = loops;
  refused_.insert(refused_.end(), unknown_.begin() + static_cast<ptrdiff_t>(known), unknown_.end());
  unknown_.resize(known);
  return block;
}

void Parser::parse_output(Block& block) {
  const int line = take().line;
  block.push_back([line, printed = parse_tuple(/*conditional=*/true)](Frame& frame) {
    frame.rendering.line = line;
    *frame.out += to_text(printed(frame));
    return Flow::kOn;
  });
  expect(Kind::kVariableEnd, "the end of what is printed");
}

Statement Parser::parse_statement() {
  const Nesting nesting(*this);
  const int line = current().line;
  const std::string tag = expect_name();
  const auto at_line = [line](Statement statement) -> Statement {
    return [line, statement = std::move(statement)](Frame& frame) {
      frame.rendering.line = line;
      return statement(frame);
    };
  };
  if (tag == "if") return at_line(parse_if());
  if (tag == "for") return at_line(parse_for());
  if (tag == "set") return at_line(parse_set());
  if (tag == "with") return at_line(parse_with());
  if (tag == "macro") return at_line(parse_macro());
  if (tag == "call") return at_line(parse_call_block());
  if (tag == "filter") return at_line(parse_filter_block());
  if (tag == "generation") return at_line(parse_generation());
  if (tag == "break" || tag == "continue") {
    if (loops_ == 0) refuse(fmt::format("'{}' outside loop", tag));
    return [flow = tag == "break" ? Flow::kBreak : Flow::kContinue](Frame&) { return flow; };
  }
  constexpr std::string_view kUnfollowed[] = {"autoescape", "block",   "extends", "from",
                                              "import",     "include", "print"};
  if (std::ranges::find(kUnfollowed, tag) != std::end(kUnfollowed)) {
    refuse(fmt::format("the tag '{}' is none that this program follows", tag));
  }
  refuse(fmt::format("there is no tag '{}'", tag));
}

// ---- tags

Statement Parser::parse_if() {
  std::vector<std::pair<Expression, Block>> branches;
  Block otherwise;
  const size_t known = unknown_.size();
  while (true) {
    Expression condition = parse_tuple(/*conditional=*/false);
    branches.emplace_back(std::move(condition), parse_inside({"elif", "else", "endif"}));
    const std::string end = take().text;
    if (end == "else") {
      otherwise = parse_inside({"endif"});
      take();
    }
    if (end != "elif") break;
  }
  unknown_.resize(known);  // within a condition an unknown filter fails where it is reached
  return [branches = std::move(branches), otherwise = std::move(otherwise)](Frame& frame) {
    for (const auto& [condition, block] : branches) {
      if (truth(condition(frame))) return run(block, frame);
    }
    return run(otherwise, frame);
  };
}

Statement Parser::parse_for() {
  auto loop = std::make_shared<ForLoop>();
  loop->target = parse_target("in", /*with_attribute=*/false);
  if (!skip_name("in")) refuse_token("'in'");
  if (loop->target.name == "loop") refuse("can't assign to special loop variable");
  loop->over = parse_tuple(/*conditional=*/false, /*in_brackets=*/false, "recursive");
  const size_t known = unknown_.size();
  if (skip_name("if")) loop->condition = parse_expression();
  loop->recursive = skip_name("recursive");
  ++loops_;
  loop->body = parse_inside({"else", "endfor"});
  --loops_;
  if (take().text == "else") {
    loop->otherwise = parse_inside({"endfor"});
    take();
  }
  refused_.insert(refused_.end(), unknown_.begin() + static_cast<ptrdiff_t>(known), unknown_.end());
  unknown_.resize(known);
  return [loop](Frame& frame) { return loop->run(frame, loop->over(frame), 0); };
}

Statement Parser::parse_set() {
  const Target target = parse_target("", /*with_attribute=*/true);
  if (skip_operator("=")) {
    return [target, value = parse_tuple(/*conditional=*/true)](Frame& frame) {
      target.set(frame, value(frame));
      return Flow::kOn;
    };
  }
  std::vector<Step> filters;
  while (skip_operator("|")) filters.push_back(parse_filter());
  return [target, filters, block = parse_apart("endset")](Frame& frame) {
    Value value = written(block, frame);
    for (const Step& filter : filters) value = filter(frame, value);
    target.set(frame, value);
    return Flow::kOn;
  };
}

Statement Parser::parse_with() {
  std::vector<std::pair<Target, Expression>> given;
  while (!is(Kind::kBlockEnd)) {
    if (!given.empty()) expect_operator(",");
    Target target = parse_target("", /*with_attribute=*/false);
    expect_operator("=");
    given.emplace_back(std::move(target), parse_expression());
  }
  const size_t known = unknown_.size();
  Block block = parse_inside({"endwith"});
  take();
  refused_.insert(refused_.end(), unknown_.begin() + static_cast<ptrdiff_t>(known), unknown_.end());
  unknown_.resize(known);
  return [given = std::move(given), block = std::move(block)](Frame& frame) {
    Frame inside = frame.inside();
    for (const auto& [target, value] : given) target.set(inside, value(frame));
    return run(block, inside);
  };
}

// Behind a macro's name or {% call %}: (a, b=1), and the body.
Macro Parser::parse_macro_rest(std::string name, bool has_parameters) {
  Macro macro;
  macro.name = std::move(name);
  if (has_parameters) expect_operator("(");
  while (has_parameters && !skip_operator(")")) {
    if (!macro.parameters.empty()) expect_operator(",");
    std::string parameter = expect_name();
    Expression otherwise;
    if (skip_operator("=")) {
      otherwise = parse_expression();
    } else if (!macro.parameters.empty() && macro.parameters.back().second) {
      refuse("non-default argument follows default argument");
    }
    macro.parameters.emplace_back(std::move(parameter), std::move(otherwise));
  }
  return macro;
}

Statement Parser::parse_macro() {
  auto macro = std::make_shared<Macro>();
  const std::string name = expect_name();
  *macro = parse_macro_rest(name, /*has_parameters=*/true);
  const auto before = static_cast<ptrdiff_t>(names_read_.size());
  macro->body = parse_apart("endmacro");
  const auto reads = [&](std::string_view wanted) {
    return std::find(names_read_.begin() + before, names_read_.end(), wanted) != names_read_.end();
  };
  macro->takes_caller = reads("caller");
  macro->takes_named = reads("kwargs");
  macro->takes_more = reads("varargs");
  return [macro](Frame& frame) {
    frame.scope->set(macro->name, bind(*macro, frame));
    return Flow::kOn;
  };
}

// {% call(x) f(y) %}...{% endcall %}: f is given `caller`, a macro of what stands inside.
Statement Parser::parse_call_block() {
  auto macro = std::make_shared<Macro>();
  const bool has_parameters = is_operator("(");
  *macro = parse_macro_rest("caller", has_parameters);
  last_call_ = nullptr;
  Expression called = parse_expression();
  const Token& last = tokens_[at_ - 1];
  if (!last_call_ || last.kind != Kind::kOperator || last.text != ")") refuse_token("a call");
  last_call_->push_back({Argument::Kind::kName, "caller", [](Frame& f) { return *f.caller; }});
  macro->body = parse_apart("endcall");
  return [macro, called = std::move(called)](Frame& frame) {
    const Value caller = bind(*macro, frame);
    Frame calling = frame;
    calling.caller = &caller;
    *frame.out += to_text(called(calling));
    return Flow::kOn;
  };
}

Statement Parser::parse_filter_block() {
  std::vector<Step> filters{parse_filter()};
  while (skip_operator("|")) filters.push_back(parse_filter());
  return [filters, block = parse_apart("endfilter")](Frame& frame) {
    Value value = written(block, frame);
    for (const Step& filter : filters) value = filter(frame, value);
    *frame.out += to_text(value);
    return Flow::kOn;
  };
}

// transformers marks an assistant's tokens by it; what it holds is rendered as it stands.
Statement Parser::parse_generation() {
  return [block = parse_apart("endgeneration")](Frame& frame) {
    *frame.out += written(block, frame);
    return Flow::kOn;
  };
}

// ---- where values go

Target Parser::parse_one_target(bool with_attribute) {
  Target target;
  if (skip_operator("(")) {
    target = parse_target("", with_attribute);
    expect_operator(")");
    return target;
  }
  target.name = expect_name();
  constexpr std::string_view kConstants[] = {"true", "false", "none", "True", "False", "None"};
  if (std::ranges::find(kConstants, target.name) != std::end(kConstants)) {
    refuse(fmt::format("can't assign to '{}'", target.name));
  }
  if (with_attribute && skip_operator(".")) target.attribute = expect_name();
  return target;
}

Target Parser::parse_target(std::string_view end, bool with_attribute) {
  const Nesting nesting(*this);
  Target target = parse_one_target(with_attribute);
  if (!is_operator(",")) return target;
  Target all;
  all.several.push_back(std::move(target));
  all.is_several = true;
  while (skip_operator(",") && !ends_tuple(end) && !is_operator("=")) {
    all.several.push_back(parse_one_target(with_attribute));
  }
  return all;
}

Expression Parser::parse_expression() {
  const Nesting nesting(*this);
  const size_t known = unknown_.size();
  Expression value = parse_or();
  for (int chained = 0; skip_name("if"); ++chained) {
    if (chained == kDeepest) refuse("too many conditions follow each other");
    Expression condition = parse_or();
    Expression otherwise;
    if (skip_name("else")) otherwise = parse_expression();
    unknown_.resize(known);
    value = [condition, value = std::move(value), otherwise](Frame& frame) -> Value {
      if (truth(condition(frame))) return value(frame);
      if (otherwise) return otherwise(frame);
      return Undefined{"the inline if-expression evaluated to false and has no else"};
    };
  }
  return value;
}

}  // namespace kvcomm::jinja
