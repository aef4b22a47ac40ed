// Arithmetic and what Python's operators do to texts and lists.
#include <fmt/format.h>

#include <cmath>

#include "text/jinja/methods.h"
#include "text/jinja/value.h"

namespace kvcomm::jinja {
namespace {

[[noreturn]] void refuse(std::string_view operation, const Value& a, const Value& b) {
  for (const Value* value : {&a, &b}) {
    if (const auto* undefined = std::get_if<Undefined>(value)) {
      throw TemplateError(undefined->complaint);
    }
  }
  throw TemplateError(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", operation,
                                  type_name(a), type_name(b)));
}

// number: by reference, since it is written while the first argument is made.
Value checked(bool overflows, const int64_t& number) {
  if (overflows) throw TemplateError("whole numbers beyond 64 bits are not followed");
  return number;
}

double floor_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : std::copysign(rest, b);
}

Value power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) throw TemplateError("0.0 cannot be raised to a negative power");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  const bool is_unit = base == 0 || base == 1 || base == -1;
  if (is_unit && exponent > 0) return base == -1 && exponent % 2 == 0 ? Value(1) : Value(base);
  int64_t product = 1;
  bool overflows = false;
  for (int64_t i = 0; i < exponent && !overflows; ++i) {
    overflows = __builtin_mul_overflow(product, base, &product);
  }
  return checked(overflows, product);
}

Value of_integers(std::string_view operation, int64_t a, int64_t b) {
  int64_t made = 0;
  if (operation == "+") return checked(__builtin_add_overflow(a, b, &made), made);
  if (operation == "-") return checked(__builtin_sub_overflow(a, b, &made), made);
  if (operation == "*") return checked(__builtin_mul_overflow(a, b, &made), made);
  if (operation == "**") return power(a, b);
  if (b == 0) throw TemplateError("division by zero");
  if (operation == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (b == -1)
    return operation == "%" ? Value(0) : checked(a == INT64_MIN, a == INT64_MIN ? a : -a);
  const int64_t rest = a % b, shift = rest != 0 && (rest < 0) != (b < 0);
  return operation == "%" ? rest + shift * b : a / b - shift;
}

Value of_doubles(std::string_view operation, double a, double b) {
  if (operation == "+") return a + b;
  if (operation == "-") return a - b;
  if (operation == "*") return a * b;
  if (operation == "**") {
    const double made = std::pow(a, b);
    if (!std::isfinite(made)) throw TemplateError("this power is no finite number");
    return made;
  }
  if (b == 0) throw TemplateError("float division by zero");
  if (operation == "/") return a / b;
  const double rest = floor_modulo(a, b);
  return operation == "%" ? rest : std::floor((a - rest) / b + 0.5);
}

Value joined_texts(const Text& a, const Text& b) {
  require_short(static_cast<double>(a.bytes.size() + b.bytes.size()));
  if (a.markup == b.markup) return Text{a.bytes + b.bytes, a.markup};
  const auto escaped = [](const Text& text) {
    return text.markup ? text.bytes : escape_html(text.bytes);
  };
  return Text{escaped(a) + escaped(b), true};
}

Value repeated(const Value& value, int64_t times) {
  const Text* text = std::get_if<Text>(&value);
  const Sequence* sequence = value.sequence();
  const auto size = static_cast<int64_t>(text ? text->bytes.size() : sequence->items.size() * 64);
  if (size == 0) times = 0;
  if (times > 0) require_short(static_cast<double>(size) * static_cast<double>(times));
  std::string bytes;
  Values items;
  for (int64_t i = 0; i < times; ++i) {
    if (text) bytes += text->bytes;
    if (sequence) items.insert(items.end(), sequence->items.begin(), sequence->items.end());
  }
  return text ? Value(Text{bytes, text->markup}) : make_sequence(sequence->kind, std::move(items));
}

bool is_repeatable(const Value& value) {
  const Sequence* sequence = value.sequence();
  return value.text() || (sequence && (sequence->kind == Sequence::Kind::kList ||
                                       sequence->kind == Sequence::Kind::kTuple));
}

double to_double(const Value& value) {
  const double* number = std::get_if<double>(&value);
  return number ? *number : static_cast<double>(to_integer(value));
}

}  // namespace

Value reckon(std::string_view operation, const Value& a, const Value& b) {
  const bool whole_a = is_integer(a), whole_b = is_integer(b);
  if (whole_a && whole_b) return of_integers(operation, to_integer(a), to_integer(b));
  if ((whole_a || a.is<double>()) && (whole_b || b.is<double>())) {
    return of_doubles(operation, to_double(a), to_double(b));
  }
  if (operation == "+" && a.is<Text>() && b.is<Text>()) {
    return joined_texts(std::get<Text>(a), std::get<Text>(b));
  }
  if (operation == "+" && is_repeatable(a) && is_repeatable(b) && !a.text() && !b.text() &&
      a.sequence()->kind == b.sequence()->kind) {
    Values items = a.sequence()->items;
    require_short(static_cast<double>(items.size() + b.sequence()->items.size()) * sizeof(Value));
    items.insert(items.end(), b.sequence()->items.begin(), b.sequence()->items.end());
    return make_sequence(a.sequence()->kind, std::move(items));
  }
  if (operation == "*" && is_repeatable(a) && whole_b) return repeated(a, to_integer(b));
  if (operation == "*" && is_repeatable(b) && whole_a) return repeated(b, to_integer(a));
  if (operation == "%" && a.is<Text>()) {
    if (std::get<Text>(a).markup) throw TemplateError("% of what `safe` made is not followed");
    return format_percent(std::get<Text>(a).bytes, b);
  }
  refuse(operation, a, b);
}

Value negate(const Value& value) {
  if (const double* number = std::get_if<double>(&value)) return -*number;
  return of_integers("-", 0, to_integer(value));
}

}  // namespace kvcomm::jinja
