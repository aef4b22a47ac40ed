// The parser's expressions, from the loosest operator to the tightest.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "text/jinja/filters.h"
#include "text/jinja/methods.h"
#include "text/jinja/parser.h"

namespace kvcomm::jinja {
namespace {

using Kind = Token::Kind;

bool compares(std::string_view operation, const Value& a, const Value& b) {
  if (operation == "==") return equal(a, b);
  if (operation == "!=") return !equal(a, b);
  if (operation == "in") return contains(b, a);
  if (operation == "not in") return !contains(b, a);
  const int order = compare(a, b);
  return operation == "<"    ? order < 0
         : operation == ">"  ? order > 0
         : operation == "<=" ? order <= 0
                             : order >= 0;
}

Value call(const Value& callee, const Arguments& arguments) {
  if (const auto* undefined = std::get_if<Undefined>(&callee)) {
    throw TemplateError(undefined->complaint);
  }
  const auto* object = std::get_if<std::shared_ptr<Object>>(&callee);
  if (!object) throw TemplateError(fmt::format("'{}' object is not callable", type_name(callee)));
  return (*object)->call(arguments);
}

template <typename ArgumentList>
Arguments evaluated(const ArgumentList& list, Frame& frame) {
  using ArgumentKind = decltype(list.front().kind);
  Arguments arguments;
  for (const auto& argument : list) {
    const Value value = argument.value(frame);
    switch (argument.kind) {
      case ArgumentKind::kPlace:
        arguments.positional.push_back(value);
        break;
      case ArgumentKind::kName:
        arguments.named.emplace_back(argument.name, value);
        break;
      case ArgumentKind::kAll:
        for (const Value& one : iterate(value)) arguments.positional.push_back(one);
        break;
      case ArgumentKind::kAllNamed:
        if (!value.dict()) throw TemplateError("argument after ** must be a mapping");
        for (const auto& [key, one] : value.dict()->items) {
          arguments.named.emplace_back(to_text(key), one);
        }
    }
  }
  return arguments;
}

Expression constant(Value value) {
  return [value = std::move(value)](Frame&) { return value; };
}

Values all_of(const std::vector<Expression>& expressions, Frame& frame) {
  Values values;
  for (const Expression& expression : expressions) values.push_back(expression(frame));
  return values;
}

}  // namespace

Expression Parser::parse_or() {
  std::vector<Expression> parts{parse_and()};
  while (skip_name("or")) parts.push_back(parse_and());
  if (parts.size() == 1) return parts[0];
  return [parts](Frame& frame) {
    Value value = parts[0](frame);
    for (size_t i = 1; i < parts.size() && !truth(value); ++i) value = parts[i](frame);
    return value;
  };
}

Expression Parser::parse_and() {
  std::vector<Expression> parts{parse_not()};
  while (skip_name("and")) parts.push_back(parse_not());
  if (parts.size() == 1) return parts[0];
  return [parts](Frame& frame) {
    Value value = parts[0](frame);
    for (size_t i = 1; i < parts.size() && truth(value); ++i) value = parts[i](frame);
    return value;
  };
}

Expression Parser::parse_not() {
  bool negates = false, any = false;
  for (; skip_name("not"); any = true) negates = !negates;
  Expression value = parse_comparison();
  if (!any) return value;
  return [negates, value](Frame& frame) -> Value { return truth(value(frame)) != negates; };
}

Expression Parser::parse_comparison() {
  const Expression first = parse_sum();
  std::vector<std::pair<std::string, Expression>> more;
  while (true) {
    constexpr std::string_view kOperators[] = {"==", "!=", "<", ">", "<=", ">="};
    std::string operation;
    if (is(Kind::kOperator) &&
        std::ranges::find(kOperators, current().text) != std::end(kOperators)) {
      operation = take().text;
    } else if (skip_name("in")) {
      operation = "in";
    } else if (is_name("not") && following().kind == Kind::kName && following().text == "in") {
      take();
      take();
      operation = "not in";
    } else {
      break;
    }
    more.emplace_back(operation, parse_sum());
  }
  if (more.empty()) return first;
  return [first, more](Frame& frame) -> Value {
    Value left = first(frame);
    for (const auto& [operation, expression] : more) {
      Value right = expression(frame);
      if (!compares(operation, left, right)) return false;
      left = std::move(right);
    }
    return true;
  };
}

Expression Parser::chained(Expression (Parser::*operand)(),
                           std::initializer_list<std::string_view> all) {
  const Expression first = (this->*operand)();
  std::vector<std::pair<std::string, Expression>> more;
  while (std::ranges::any_of(all, [&](std::string_view one) { return is_operator(one); })) {
    const std::string operation = take().text;
    more.emplace_back(operation, (this->*operand)());
  }
  if (more.empty()) return first;
  return [first, more](Frame& frame) {
    Value value = first(frame);
    for (const auto& [operation, expression] : more) {
      value = reckon(operation, value, expression(frame));
    }
    return value;
  };
}

Expression Parser::parse_sum() { return chained(&Parser::parse_concatenation, {"+", "-"}); }

Expression Parser::parse_concatenation() {
  std::vector<Expression> parts{parse_product()};
  while (skip_operator("~")) parts.push_back(parse_product());
  if (parts.size() == 1) return parts[0];
  return [parts](Frame& frame) -> Value {
    std::string text;
    for (const Expression& part : parts) text += to_text(part(frame));
    return text;
  };
}

Expression Parser::parse_product() { return chained(&Parser::parse_power, {"*", "/", "//", "%"}); }
Expression Parser::parse_power() { return chained(&Parser::parse_unary, {"**"}); }

Expression Parser::parse_unary(bool with_filters) {
  bool negates = false, any = false;
  while (is_operator("-") || is_operator("+")) {
    negates ^= take().text == "-";
    any = true;
  }
  Expression value = with_steps(parse_primary(), with_filters && !any);
  if (!any) return value;
  Expression signed_value = [negates, value](Frame& frame) {
    const Value number = negate(value(frame));
    return negates ? number : negate(number);
  };
  return with_steps(std::move(signed_value), with_filters);
}

Expression Parser::parse_primary() {
  if (is(Kind::kInteger) || is(Kind::kFloat)) return parse_number();
  if (is(Kind::kString)) {
    std::string text;
    while (is(Kind::kString)) text += take().text;
    return constant(std::move(text));
  }
  if (is(Kind::kName)) {
    const std::string name = take().text;
    if (name == "true" || name == "True") return constant(true);
    if (name == "false" || name == "False") return constant(false);
    if (name == "none" || name == "None") return constant(None{});
    if (is_unfollowed_global(name)) {
      refuse(fmt::format("the name '{}' is none that this program follows", name));
    }
    names_read_.push_back(name);
    return [name](Frame& frame) { return frame.find(name); };
  }
  if (skip_operator("(")) {
    Expression value = parse_tuple(/*conditional=*/true, /*in_brackets=*/true);
    expect_operator(")");
    return value;
  }
  if (skip_operator("[")) return parse_list();
  if (skip_operator("{")) return parse_dict();
  refuse_token("an expression");
}

Expression Parser::parse_number() {
  const std::string& text = current().text;
  if (is(Kind::kFloat)) return constant(std::stod(take().text));
  int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc()) refuse("whole numbers beyond 64 bits are not followed");
  take();
  return constant(number);
}

Expression Parser::parse_list() {
  std::vector<Expression> items;
  while (!is_operator("]")) {
    if (!items.empty()) expect_operator(",");
    if (is_operator("]")) break;
    items.push_back(parse_expression());
  }
  expect_operator("]");
  return [items](Frame& frame) { return make_list(all_of(items, frame)); };
}

Expression Parser::parse_dict() {
  std::vector<std::pair<Expression, Expression>> items;
  while (!is_operator("}")) {
    if (!items.empty()) expect_operator(",");
    if (is_operator("}")) break;
    Expression key = parse_expression();
    expect_operator(":");
    items.emplace_back(std::move(key), parse_expression());
  }
  expect_operator("}");
  return [items](Frame& frame) -> Value {
    auto dict = std::make_shared<Dict>();
    for (const auto& [key, value] : items) {
      const Value made = key(frame);
      dict->set(made, value(frame));
    }
    return dict;
  };
}

bool Parser::ends_tuple(std::string_view end) const {
  return is(Kind::kVariableEnd) || is(Kind::kBlockEnd) || is_operator(")") ||
         (!end.empty() && is_name(end));
}

Expression Parser::parse_tuple(bool conditional, bool in_brackets, std::string_view end) {
  std::vector<Expression> items;
  bool is_tuple = false;
  while (!ends_tuple(end)) {
    items.push_back(conditional ? parse_expression() : parse_or());
    if (!skip_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return items[0];
  if (!is_tuple && !in_brackets) refuse_token("an expression");
  return [items](Frame& frame) { return make_tuple(all_of(items, frame)); };
}

// ---- what follows an expression

Expression Parser::with_steps(Expression first, bool with_filters) {
  std::vector<Step> steps;
  bool filtered = false;  // behind the first filter or test no attribute follows
  while (true) {
    if (!filtered && skip_operator(".")) {
      steps.push_back(parse_attribute());
    } else if (!filtered && skip_operator("[")) {
      steps.push_back(parse_subscript());
    } else if (is_operator("(")) {
      steps.push_back(parse_call());
    } else if (with_filters && skip_operator("|")) {
      steps.push_back(parse_filter());
      filtered = true;
    } else if (with_filters && skip_name("is")) {
      steps.push_back(parse_test());
      filtered = true;
    } else {
      break;
    }
  }
  if (steps.empty()) return first;
  return [first = std::move(first), steps](Frame& frame) {
    Value value = first(frame);
    for (const Step& step : steps) value = step(frame, value);
    return value;
  };
}

Step Parser::parse_attribute() {
  if (is(Kind::kInteger)) {
    return [place = parse_number()](Frame& frame, const Value& value) {
      return item(value, place(frame));
    };
  }
  const std::string name = expect_name();
  if (is_unfollowed_method(name) && is_operator("(")) {
    refuse(fmt::format("the method '{}' is none that this program follows", name));
  }
  return [name](Frame&, const Value& value) { return attribute(value, name); };
}

// [key], [key, key] or [start:stop:step], behind the opening bracket.
Step Parser::parse_subscript() {
  std::vector<Expression> bounds;
  const auto bound = [&] {
    const bool given = !is_operator(":") && !is_operator("]") && !is_operator(",");
    bounds.push_back(given ? parse_expression() : constant(None{}));
    return given;
  };
  const bool has_first = bound();
  const bool is_slice = is_operator(":");
  while (bounds.size() < 3 && skip_operator(":")) bound();
  if (!is_slice && !has_first) refuse_token("an expression");
  if (!is_slice && is_operator(",")) {
    while (skip_operator(",") && !is_operator("]")) bound();
    expect_operator("]");
    return [bounds](Frame& frame, const Value& value) {
      return item(value, make_tuple(all_of(bounds, frame)));
    };
  }
  expect_operator("]");
  if (!is_slice) {
    return [key = bounds[0]](Frame& frame, const Value& value) { return item(value, key(frame)); };
  }
  while (bounds.size() < 3) bounds.push_back(constant(None{}));
  return [bounds](Frame& frame, const Value& value) {
    const Values at = all_of(bounds, frame);
    return slice(value, at[0], at[1], at[2]);
  };
}

Step Parser::parse_call() {
  auto arguments = std::make_shared<ArgumentList>(parse_arguments());
  last_call_ = arguments;
  return [arguments](Frame& frame, const Value& callee) {
    return call(callee, evaluated(*arguments, frame));
  };
}

Parser::ArgumentList Parser::parse_arguments() {
  using ArgumentKind = Argument::Kind;
  ArgumentList arguments;
  expect_operator("(");
  while (!is_operator(")")) {
    if (!arguments.empty()) expect_operator(",");
    if (is_operator(")")) break;
    const bool is_named =
        is(Kind::kName) && following().kind == Kind::kOperator && following().text == "=";
    Argument argument{ArgumentKind::kPlace, "", {}};
    if (skip_operator("*")) {
      argument.kind = ArgumentKind::kAll;
    } else if (skip_operator("**")) {
      argument.kind = ArgumentKind::kAllNamed;
    } else if (is_named) {
      argument = {ArgumentKind::kName, take().text, {}};
      take();
    }
    const bool follows_names = !arguments.empty() && arguments.back().kind != ArgumentKind::kPlace;
    if (argument.kind == ArgumentKind::kPlace && follows_names) {
      refuse("invalid syntax for function call expression");
    }
    argument.value = parse_expression();
    arguments.push_back(std::move(argument));
  }
  expect_operator(")");
  return arguments;
}

std::string Parser::parse_dotted_name() {
  std::string name = expect_name();
  while (skip_operator(".")) name += "." + expect_name();
  return name;
}

Step Parser::parse_filter() {
  const int line = current().line;
  const std::string name = parse_dotted_name();
  const Filter filter = find_filter(name);
  if (is_unfollowed_filter(name)) {
    refuse(fmt::format("the filter '{}' is none that this program follows", name));
  }
  const std::string complaint = fmt::format("there is no filter '{}'", name);
  if (!filter) unknown_.push_back({complaint, line});
  ArgumentList arguments;
  if (is_operator("(")) arguments = parse_arguments();
  return [filter, complaint, arguments](Frame& frame, const Value& value) {
    if (!filter) throw TemplateError(complaint);
    return filter(value, evaluated(arguments, frame));
  };
}

Step Parser::parse_test() {
  const int line = current().line;
  const bool negates = skip_name("not");
  const std::string name = parse_dotted_name();
  const Test test = find_test(name);
  const std::string complaint = fmt::format("there is no test '{}'", name);
  if (!test) unknown_.push_back({complaint, line});
  const bool has_value = is(Kind::kString) || is(Kind::kInteger) || is(Kind::kFloat) ||
                         is_operator("[") || is_operator("{") ||
                         (is(Kind::kName) && !is_name("else") && !is_name("or") && !is_name("and"));
  ArgumentList arguments;
  if (is_operator("(")) {
    arguments = parse_arguments();
  } else if (has_value) {
    if (is_name("is")) refuse("You cannot chain multiple tests with is");
    arguments.push_back(
        {Argument::Kind::kPlace, "", with_steps(parse_primary(), /*with_filters=*/false)});
  }
  return [test, negates, complaint, arguments](Frame& frame, const Value& value) -> Value {
    if (!test) throw TemplateError(complaint);
    return test(value, evaluated(arguments, frame)) != negates;
  };
}

}  // namespace kvcomm::jinja
