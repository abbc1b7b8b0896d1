// Python's dictionaries as the bindings read them: each entry once, by its name and type. A name that is missing or
// unknown, a wrong type and a number out of range are a ValueError that names the entry.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace resmc {

namespace py = pybind11;

class Reader {
   public:
    Reader(const py::dict& entries, const char* what) : entries_(entries), what_(what) {}

    bool has(const char* name) const { return entries_.contains(name); }

    bool boolean(const char* name) {
        const py::handle value = take(name);
        if (!PyBool_Check(value.ptr())) refuse(name, "must be True or False");
        return value.ptr() == Py_True;
    }

    template <class T>
    T integer(const char* name, T low = std::numeric_limits<T>::min(), T high = std::numeric_limits<T>::max()) {
        static_assert(std::is_integral_v<T>);
        using Wide = std::conditional_t<std::is_signed_v<T>, long long, unsigned long long>;
        const py::handle value = take(name);
        const std::string wanted = "must be an integer from " + std::to_string(low) + " to " + std::to_string(high);
        if (PyBool_Check(value.ptr()) || !PyIndex_Check(value.ptr())) refuse(name, wanted);
        const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
        Wide wide = 0;
        if (index && std::is_signed_v<T>)
            wide = static_cast<Wide>(PyLong_AsLongLong(index.ptr()));
        else if (index)
            wide = static_cast<Wide>(PyLong_AsUnsignedLongLong(index.ptr()));
        if (PyErr_Occurred() != nullptr) {
            PyErr_Clear();
            refuse(name, wanted);
        }
        if (wide < Wide{low} || wide > Wide{high}) refuse(name, wanted);
        return static_cast<T>(wide);
    }

    // A number below `count`.
    template <class Enum>
    Enum choice(const char* name, int count) {
        return static_cast<Enum>(integer<int>(name, 0, count - 1));
    }

    // A finite number that T can hold.
    template <class T>
    T real(const char* name) {
        const py::handle value = take(name);
        const bool number = PyFloat_Check(value.ptr()) || (PyLong_Check(value.ptr()) && !PyBool_Check(value.ptr()));
        const double x = number ? PyFloat_AsDouble(value.ptr()) : 0.0;
        const bool overflow = PyErr_Occurred() != nullptr;
        if (overflow) PyErr_Clear();
        if (!number || overflow || !(std::fabs(x) <= static_cast<double>(std::numeric_limits<T>::max())))
            refuse(name, std::string("must be a finite number that a ") + (sizeof(T) == 4 ? "float32" : "float64") +
                             " can hold");
        return static_cast<T>(x);
    }

    // The data of a C-contiguous array of exactly this type and shape, which may be written unless T is const; null if
    // it has no entries. The array stays the caller's.
    template <class T>
    T* array(const char* name, const std::vector<size_t>& shape) {
        using Array = py::array_t<std::remove_const_t<T>, py::array::c_style>;
        const py::handle value = take(name);
        if (!Array::check_(value))
            refuse(name,
                   "must be a C-contiguous array of " + std::string(py::str(py::dtype::of<std::remove_const_t<T>>())));
        const auto array = py::reinterpret_borrow<Array>(value);
        const bool fits = static_cast<size_t>(array.ndim()) == shape.size() &&
                          std::equal(shape.begin(), shape.end(), array.shape(),
                                     [](size_t a, py::ssize_t b) { return a == static_cast<size_t>(b); });
        if (!fits) {
            std::string text;
            for (const size_t size : shape) text += std::to_string(size) + ", ";
            refuse(name, "must have the shape (" + text.substr(0, text.size() - (shape.size() > 1 ? 2 : 1)) + ")");
        }
        if (array.size() == 0) return nullptr;
        if constexpr (std::is_const_v<T>) {
            return array.data();
        } else {
            if (!array.writeable()) refuse(name, "must be writable");
            return const_cast<T*>(array.data());
        }
    }

    // How many entries an array has that is still to be read.
    size_t length(const char* name) const {
        return has(name) && py::hasattr(entries_[name], "__len__") ? py::len(entries_[name]) : 0;
    }

    // An address in a device's memory.
    template <class T>
    T* pointer(const char* name) {
        return reinterpret_cast<T*>(integer<uintptr_t>(name, 1));
    }
    // Null where there is no such entry.
    template <class T>
    T* optional_pointer(const char* name) {
        return has(name) ? pointer<T>(name) : nullptr;
    }

    // An entry that has to be there, whatever it is.
    void skip(const char* name) { take(name); }

    [[noreturn]] void refuse(const char* name, const std::string& why) const {
        throw std::invalid_argument(std::string(what_) + ": '" + name + "' " + why);
    }

    // Refuses what nobody has asked for.
    void finish() const {
        for (const auto& [key, value] : entries_) {
            const std::string name = py::str(key);
            if (std::find(taken_.begin(), taken_.end(), name) == taken_.end()) refuse(name.c_str(), "is unknown");
        }
    }

   private:
    py::handle take(const char* name) {
        if (!has(name)) refuse(name, "is missing");
        taken_.emplace_back(name);
        return entries_[name].ptr();
    }

    const py::dict& entries_;
    const char* what_;
    std::vector<std::string> taken_;
};

}  // namespace resmc
