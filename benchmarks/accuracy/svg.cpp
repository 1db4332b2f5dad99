// SPDX-License-Identifier: Apache-2.0
#include "accuracy/svg.hpp"

#include <cmath>
#include <cstdio>

namespace velostream::bench {

namespace {

// At most one digit behind the point: the same file from the same figures, on every machine.
std::string number(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f", std::round(value * 10) / 10);
    std::string text{buffer};
    if (text.ends_with(".0")) text.resize(text.size() - 2);
    return text == "-0" ? "0" : text;
}

std::string attribute(std::string_view name, std::string_view value) {
    return " " + std::string{name} + "=\"" + std::string{value} + "\"";
}
std::string attribute(std::string_view name, double value) {
    return attribute(name, number(value));
}

std::string escaped(std::string_view words) {
    std::string result;
    for (const char each : words) {
        if (each == '<')
            result += "&lt;";
        else if (each == '&')
            result += "&amp;";
        else
            result += each;
    }
    return result;
}

} // namespace

Svg::Svg(double width, double height)
    : text_("<svg xmlns=\"http://www.w3.org/2000/svg\"" + attribute("width", width) + attribute("height", height) +
            attribute("viewBox", "0 0 " + number(width) + " " + number(height)) +
            " font-family=\"sans-serif\" font-size=\"12\">\n") {
    rectangle(0, 0, width, height, "#ffffff");
}

void Svg::rectangle(double x, double y, double width, double height, std::string_view colour) {
    text_ += "<rect" + attribute("x", x) + attribute("y", y) + attribute("width", width) + attribute("height", height) +
             attribute("fill", colour) + "/>\n";
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view colour, bool is_dashed) {
    text_ += "<line" + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) + attribute("y2", y2) +
             attribute("stroke", colour) + (is_dashed ? attribute("stroke-dasharray", "4 3") : "") + "/>\n";
}

void Svg::dot(double x, double y, std::string_view colour) {
    text_ +=
        "<circle" + attribute("cx", x) + attribute("cy", y) + attribute("r", 2.5) + attribute("fill", colour) + "/>\n";
}

void Svg::text(double x, double y, std::string_view words, Anchor anchor, bool is_bold) {
    constexpr std::string_view anchors[] = {"start", "middle", "end"};
    text_ += "<text" + attribute("x", x) + attribute("y", y) +
             attribute("text-anchor", anchors[static_cast<std::size_t>(anchor)]) +
             (is_bold ? attribute("font-weight", "bold") : "") + ">" + escaped(words) + "</text>\n";
}

} // namespace velostream::bench
