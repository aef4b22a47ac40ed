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
    require_short(static_cast<double>(text.size()));
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

}  // namespace kvcomm::jinja
