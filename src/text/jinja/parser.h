// Reads a template's tokens, by the grammar of Jinja 3.1, into functions that render it.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/lexer.h"
#include "text/jinja/program.h"

namespace kvcomm::jinja {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  // The whole template. Throws SyntaxError.
  Block parse();

 private:
  // An argument of a call: by place, by name, or all of a sequence (*) or a dictionary (**).
  struct Argument {
    enum class Kind { kPlace, kName, kAll, kAllNamed } kind;
    std::string name;
    Expression value;
  };
  using ArgumentList = std::vector<Argument>;

  // ---- tokens (parser.cpp)
  const Token& current() const { return tokens_[at_]; }
  const Token& following() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  [[noreturn]] void refuse(std::string what) const;
  [[noreturn]] void refuse_token(std::string_view wanted) const;
  bool is(Token::Kind kind) const { return current().kind == kind; }
  bool is_name(std::string_view name) const;
  bool is_operator(std::string_view name) const;
  bool skip_name(std::string_view name);
  bool skip_operator(std::string_view name);
  void expect_operator(std::string_view name);
  void expect(Token::Kind kind, std::string_view wanted);
  std::string expect_name();

  // ---- statements (parser.cpp)
  Block parse_until(std::initializer_list<std::string_view> ends);
  Block parse_inside(std::initializer_list<std::string_view> ends);
  Block parse_apart(std::string_view end);
  void parse_output(Block& block);
  Statement parse_statement();
  Statement parse_if();
  Statement parse_for();
  Statement parse_set();
  Statement parse_with();
  Statement parse_macro();
  Statement parse_call_block();
  Statement parse_filter_block();
  Statement parse_generation();
  Macro parse_macro_rest(std::string name, bool has_parameters);

  // ---- expressions (expressions.cpp)
  Expression parse_expression();
  Expression parse_or();
  Expression parse_and();
  Expression parse_not();
  Expression parse_comparison();
  Expression parse_sum();
  Expression parse_concatenation();
  Expression parse_product();
  Expression parse_power();
  Expression parse_unary() { return parse_unary(/*with_filters=*/true); }
  Expression parse_unary(bool with_filters);
  Expression parse_primary();
  Expression parse_number();
  Expression parse_list();
  Expression parse_dict();
  // a, b: a tuple where there is a comma. conditional: whether `x if y` may stand there.
  // end: the name that ends it ("in").
  Expression parse_tuple(bool conditional, bool in_brackets = false, std::string_view end = "");
  bool ends_tuple(std::string_view end) const;
  Target parse_target(std::string_view end, bool with_attribute);
  Target parse_one_target(bool with_attribute);
  Expression with_steps(Expression first, bool with_filters);
  Step parse_attribute();
  Step parse_subscript();
  Step parse_call();
  Step parse_filter();
  Step parse_test();
  ArgumentList parse_arguments();
  Expression chained(Expression (Parser::*operand)(), std::initializer_list<std::string_view> all);
  std::string parse_dotted_name();

  // What nests deeper than this is refused: reading and rendering go down the stack with it.
  static constexpr int kDeepest = 80;
  class Nesting;

  // A filter or test that Jinja does not have either. It fails where it is reached; where it stands
  // outside of conditions Jinja refuses the template.
  struct Unknown {
    std::string what;
    int line;
  };

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0, loops_ = 0;
  std::vector<Unknown> unknown_, refused_;
  std::vector<std::string> names_read_;
  std::shared_ptr<ArgumentList> last_call_;
};

}  // namespace kvcomm::jinja
