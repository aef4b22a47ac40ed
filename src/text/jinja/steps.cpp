// The parser's steps, which follow an expression: attributes, subscripts, calls, filters, tests.
#include <fmt/format.h>

#include "text/jinja/filters.h"
#include "text/jinja/methods.h"
#include "text/jinja/parser.h"

namespace kvcomm::jinja {
namespace {

using Kind = Token::Kind;

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

}  // namespace

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
